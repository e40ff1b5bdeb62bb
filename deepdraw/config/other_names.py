"""Names that options and keys have elsewhere: in the project that deepdraw began as, and in other libraries."""

from __future__ import annotations

OTHER_KEYS = {  # a key as others call it, with or without its group -> the key here, or a group
    "base_lr": "optimizer.lr",
    "classifier_lr": "optimizer.lr",
    "head_lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "lr0": "optimizer.lr",
    "lr_backbone": "optimizer.backbone_lr",
    "wd": "optimizer.weight_decay",
    "betas": "optimizer.algorithm.betas",
    "momentum": "optimizer.algorithm.momentum",
    "max_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "accumulate_grad_batches": "train.grad_accum",
    "gradient_accumulation_steps": "train.grad_accum",
    "grad_clip": "train.clip_grad",
    "gradient_clip_val": "train.clip_grad",
    "max_grad_norm": "train.clip_grad",
    "limit_train_batches": "train.limit_steps",
    "max_steps": "train.limit_steps",
    "label_smooth": "train.label_smoothing",
    "smoothing": "train.label_smoothing",
    "ema_decay": "train.ema",
    "batch": "data.batch_size",
    "bs": "data.batch_size",
    "per_device_train_batch_size": "data.batch_size",
    "workers": "data.num_workers",
    "data_dir": "data.root",
    "data_path": "data.root",
    "data.dir": "data.root",
    "data.path": "data.root",
    "dataset.path": "data.root",
    "dataset.root": "data.root",
    "dataset_path": "data.root",
    "img_size": "backbone.image_size",
    "imgsz": "backbone.image_size",
    "input_size": "backbone.image_size",
    "resolution": "backbone.image_size",
    "model.name": "backbone.name",
    "model_name": "backbone.name",
    "drop_path": "+backbone.options.drop_path_rate",
    "drop_path_rate": "+backbone.options.drop_path_rate",
    "warmup_epochs": "schedule.warmup",
    "warmup_ratio": "schedule.warmup",
    "warmup_steps": "schedule.warmup",
    "hidden_dim": "head.hidden",
    "hidden_size": "head.hidden",
    "head.width": "head.hidden",
    "head.widths": "head.hidden",
    "wandb.group": "logger.wandb.group",
    "wandb.name": "logger.wandb.name",
    "wandb.project": "logger.wandb.project",
    "out_dir": "hydra.run.dir",
    "output_dir": "hydra.run.dir",
    "run_dir": "hydra.run.dir",
    "save_dir": "hydra.run.dir",
    "checkpoint": "ckpt",
    "checkpoint_path": "ckpt",
    "weights": "ckpt",
    "arch": "backbone",
    "encoder": "backbone",
    "model": "backbone",
    "model.backbone": "backbone",
    "model.type": "backbone",
    "model_type": "backbone",
    "classifier": "head",
    "dataset": "data",
    "dataset.name": "data",
    "augmentation": "augment",
    "lr_scheduler": "schedule",
    "scheduler": "schedule",
    "opt": "optimizer",
    "amp": "precision",
    "mixed_precision": "precision",
    "recipe": "experiment",
    "gpu": "device",
}
OTHER_WAYS = {  # a key as others call it -> what does the same here, where it is no key
    **dict.fromkeys(
        ("gpus", "num_gpus", "devices", "ngpus", "world_size"),
        "for several GPUs write `torchrun --nproc-per-node N train.py ...`",
    ),
    **dict.fromkeys(("wandb", "use_wandb", "log_wandb"), "write logger=[csv,wandb]"),
    **dict.fromkeys(("tensorboard", "use_tensorboard"), "write logger=[csv,tensorboard]"),
    **dict.fromkeys(
        ("resume", "resume_from", "auto_resume", "train.resume"),
        "a run goes on with the same command and hydra.run.dir=RUN",
    ),
    **dict.fromkeys(("debug", "dry_run", "fast_dev_run"), "write train.limit_steps=10 to try a run out"),
}
OTHER_OPTIONS = {  # of each group: an option as others call it -> what to write here
    "augment": {"true": "augment=sketch", "false": "augment=none", "randaugment": "augment=strong"},
    "freeze": {"true": "freeze=all", "false": "freeze=none", "frozen": "freeze=all", "null": "freeze=none"},
    "head": {"none": "head=linear", "fc": "head=linear", "knn": "evaluate.py with protocol=knn"},
    "optimizer": {"adam": "optimizer=adamw"},
    "precision": {
        **dict.fromkeys(("16", "half", "float16", "16-mixed", "mixed"), "precision=fp16"),
        **dict.fromkeys(("bfloat16", "bf16-mixed"), "precision=bf16"),
        **dict.fromkeys(("32", "float32", "full", "false"), "precision=fp32"),
        **dict.fromkeys(("amp", "true"), "precision=auto"),
    },
    "schedule": {"none": "schedule=constant", "null": "schedule=constant", "one_cycle": "schedule=onecycle"},
}
BLOCKS = ("freeze_blocks", "freeze_layers", "train.freeze_blocks", "model.freeze_blocks")  # of the original project
SIZES = {"large": "ViT-L", "l": "ViT-L", "base": "ViT-B", "b": "ViT-B", "small": "ViT-S", "s": "ViT-S"}


def frozen_blocks(value: str) -> str:
    """What `freeze_blocks=VALUE` of the original project is here: all, none, a number of blocks, or their list."""
    if value.isdigit():
        return f"freeze=first freeze.n={value}"
    if value.startswith("["):
        return f"freeze=blocks freeze.blocks={value}"
    return OTHER_OPTIONS["freeze"].get(value.lower(), f"freeze={value or 'none'}")
