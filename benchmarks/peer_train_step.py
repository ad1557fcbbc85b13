"""One LoRA training step of a two-block SD3.5-medium-shaped MMDiT in diffusers and PEFT, eager: the peer of bench_train_step.

    peer_train_step.py --precision fp32|bf16 --steps N        last line: train_step PRECISION SECONDS
"""
import argparse
import time

import torch
from diffusers import SD3Transformer2DModel
from peft import LoraConfig, get_peft_model

WIDTH_HEADS, BLOCKS, TEXT_TOKENS, LATENT_SIDE, RANK = 24, 2, 333, 32, 16


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(0)
    dtype = torch.float32 if args.precision == "fp32" else torch.bfloat16

    model = SD3Transformer2DModel(
        sample_size=128, patch_size=2, in_channels=16, num_layers=BLOCKS, attention_head_dim=64,
        num_attention_heads=WIDTH_HEADS, joint_attention_dim=4096, caption_projection_dim=64 * WIDTH_HEADS,
        pooled_projection_dim=2048, out_channels=16, pos_embed_max_size=384, qk_norm="rms_norm",
        dual_attention_layers=tuple(range(BLOCKS))).to(dtype)
    model.requires_grad_(False)
    # Every Linear of the blocks, as the C++ side adapts them.
    targets = [name for name, module in model.named_modules()
               if isinstance(module, torch.nn.Linear) and name.startswith("transformer_blocks.")]
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    latents = torch.randn(1, 16, LATENT_SIDE, LATENT_SIDE)
    context = torch.randn(1, TEXT_TOKENS, 4096)
    pooled = torch.randn(1, 2048)

    def step():
        noise = torch.randn_like(latents)
        timesteps = torch.tensor([500.0])
        sigma = (timesteps / 1000).view(-1, 1, 1, 1)
        noisy = sigma * noise + (1 - sigma) * latents
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            velocity = model(hidden_states=noisy.to(dtype), encoder_hidden_states=context.to(dtype),
                             pooled_projections=pooled.to(dtype), timestep=timesteps).sample.float()
        loss = torch.nn.functional.mse_loss(noisy - sigma * velocity, latents)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    for _ in range(2):
        step()
    times = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(f"train_step {args.precision} {sorted(times)[len(times) // 2]:.4f}")


if __name__ == "__main__":
    main()
