"""Run by commands_test.py with a Python that has diffusers and peft.

    diffusers_lora.py FOLDER     FOLDER holds model/mmdit_vae, merged and diffusers .safetensors of tiny_sd35m
Prints two numbers: how much the LoRA changes the velocity, and the largest difference between diffusers with the converted
LoRA and diffusers with the merged checkpoint.
"""
import pathlib
import sys

import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from safetensors.torch import load_file


def load(path):
    prefix = "model.diffusion_model."
    tensors = {name[len(prefix):]: tensor for name, tensor in load_file(path).items() if name.startswith(prefix)}
    width, pooled = tensors["x_embedder.proj.weight"].shape[0], tensors["y_embedder.mlp.0.weight"].shape[1]
    context, side = tensors["context_embedder.weight"].shape[1], round(tensors["pos_embed"].shape[1] ** 0.5)
    model = SD3Transformer2DModel(
        sample_size=side * 2, patch_size=2, in_channels=16, num_layers=4, attention_head_dim=64, num_attention_heads=width // 64,
        joint_attention_dim=context, caption_projection_dim=width, pooled_projection_dim=pooled, out_channels=16,
        pos_embed_max_size=side, qk_norm="rms_norm", dual_attention_layers=(0, 1))
    converted = convert_sd3_transformer_checkpoint_to_diffusers(tensors)
    missing, unexpected = model.load_state_dict(converted, strict=False)
    assert not missing and not unexpected, (missing, unexpected)
    return model.eval()


@torch.no_grad()
def main():
    folder = pathlib.Path(sys.argv[1])
    base = load(folder / "model/mmdit_vae.safetensors")
    merged = load(folder / "merged.safetensors")
    torch.manual_seed(1)
    inputs = dict(hidden_states=torch.randn(1, 16, 12, 16), timestep=torch.tensor([321.0]),
                  encoder_hidden_states=torch.randn(1, 20, base.config.joint_attention_dim),
                  pooled_projections=torch.randn(1, base.config.pooled_projection_dim))
    want = merged(**inputs).sample
    without = base(**inputs).sample
    base.load_lora_adapter(load_file(folder / "diffusers.safetensors"), prefix="transformer")
    got = base(**inputs).sample
    print((without - want).abs().max().item(), (got - want).abs().max().item())


main()
