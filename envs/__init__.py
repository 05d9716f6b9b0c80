"""The views: the faces that a population shows to the outer world, one file per face.

A view holds no learning. It turns actions into architectures, has the population train a window, and turns the result
into reward, observation and info. Get one by its id, `gym.make("ArchSearch-DQN-v0")`; `import archgym` registers them.
"""

if __name__ != "archgym.envs":
    raise ImportError(f"import archgym.envs, not {__name__}: archgym/envs is a link to this folder")
