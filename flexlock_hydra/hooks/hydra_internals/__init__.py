"""All that touches private names of OmegaConf, Hydra and hydra-zen, or reads their frames.

No other module of the hooks does, so that a new version of Hydra is checked, and met, here alone.
Each entry says on which versions it was seen, and what public name is missing that it stands in
for. "Both" are hydra-core 1.3.8 with omegaconf 2.3.1, and hydra-core 1.4.0rc3 with omegaconf
2.4.1rc1; hydra-zen is 0.17.
"""
