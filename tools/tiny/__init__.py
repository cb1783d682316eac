"""Makes the layers of the built-in tiny checkpoints, which `posttrain.models.tiny` ships: see README.md.

python -m tools.tiny predict2.5

layers below --layers.assemble--> folder --new components (predict*.py, qwen.py, ...)--> an untrained checkpoint
  --fit.py (by pretrain.py, qwen_pretrain.py or train_vae.py)--> trained weights --ship.py--> the layer
"""
