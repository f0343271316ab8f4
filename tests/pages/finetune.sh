#!/bin/bash
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --time=1-00:00:00
module load cuda
deepspeed train.py \
    --deepspeed zero2.json \
    --data_path la_tune_256k.json \
    --bf16 True \
    --output_dir out \
    --num_train_epochs 1 \
    --per_device_train_batch_size 8 \
    --save_steps 500
