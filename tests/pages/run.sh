#!/bin/bash
#SBATCH --nodes=1 --gpus-per-node=4
torchrun --nproc_per_node 4 train.py \
    --per_device_train_batch_size 8 \
    --num_train_epochs 1 \
    --bf16 True \
    --eval_strategy no \
    --save_steps 500 \
    --output_dir out
