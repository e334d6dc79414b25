"""Fine-tuning: trainable parts, LoRA, the file of what was trained, cached embeddings."""
