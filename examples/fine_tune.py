"""Fine-tune a language model on all ranks, each with its share of every batch; see docs/fine-tune.md.

Run it with: mlxlaunch run -i inventory/hosts.yml examples/fine_tune.py --model mlx-community/Qwen3-4B-4bit --train --data data

All words after the script are options of mlx_lm.lora. Rank 0 writes the adapters. mlx-lm has to be in the Python of every host.
"""

from mlx_lm.lora import main

main()
