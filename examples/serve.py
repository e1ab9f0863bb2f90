"""Serve a language model that is split over all ranks, with the server of mlx-lm on rank 0; see docs/serve.md.

Run it with: mlxlaunch run -i inventory/hosts.yml examples/serve.py --model mlx-community/Qwen3-4B-4bit --host 0.0.0.0

All words after the script are options of mlx_lm.server. mlx-lm has to be in the Python of every host.
"""

from mlx_lm.server import main

main()
