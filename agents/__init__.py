"""The agents: one file = one controller = one paper, runnable as a script (`python agents/<name>.py --help`).

An agent gets an environment and acts on it, like anybody else's would. To add one is to add a file that names its
paper and defines `Args` and `Agent` (`archgym.running.agent`). The file must not be called like a module of the
standard library (`random.py`), since Python puts the folder of a script first on its path.
"""

if __name__ != "archgym.agents":
    raise ImportError(f"import archgym.agents, not {__name__}: archgym/agents is a link to this folder")
