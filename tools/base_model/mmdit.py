"""The SD3.5 Medium transformer as PyTorch modules whose parameter names are those of the file (without
`model.diffusion_model.`). Formulas: docs/numerics.md; src/models/joint_block.cpp computes the same."""
import math

import torch
import torch.nn.functional as F
from torch import nn

HEAD = 64
LATENTS, PATCH = 16, 2


def position_table(side, width):
    """The usual 2-D sine and cosine table, the column in the first half: [1, side * side, width]."""
    rates = 1.0 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    y, x = torch.meshgrid(torch.arange(side, dtype=torch.float64), torch.arange(side, dtype=torch.float64), indexing="ij")
    waves = [f(axis.reshape(-1, 1) * rates) for axis in (x, y) for f in (torch.sin, torch.cos)]
    return torch.cat(waves, 1).float()[None]


def timestep_waves(timesteps, channels=256):
    rates = torch.exp(torch.arange(channels // 2) * (-math.log(10000.0) / (channels // 2)))
    angles = timesteps.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


def modulated(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def heads_of(x):
    return x.unflatten(2, (-1, HEAD)).transpose(1, 2)  # [B,L,D] -> [B,heads,L,64]


def attend(q, k, v):
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # -> [B,L,D]


class HeadNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HEAD))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class Attention(nn.Module):
    def __init__(self, width, with_proj=True):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.ln_q, self.ln_k = HeadNorm(), HeadNorm()
        if with_proj:
            self.proj = nn.Linear(width, width)

    def heads(self, x):
        q, k, v = (heads_of(part) for part in self.qkv(x).chunk(3, 2))
        return self.ln_q(q), self.ln_k(k), v


class Mlp(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Embedder(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x):
        return self.mlp(x)


def modulation(width, parts):
    """Holds the name that the file gives it; the SiLU before it is computed once for all. Begins at zero."""
    layer = nn.Sequential(nn.Identity(), nn.Linear(width, parts * width))
    nn.init.zeros_(layer[1].weight), nn.init.zeros_(layer[1].bias)
    return layer


class Side(nn.Module):
    """What a block does to the text tokens or to the image tokens."""

    def __init__(self, width, last_text=False, dual=False):
        super().__init__()
        self.attn = Attention(width, with_proj=not last_text)
        if dual:
            self.attn2 = Attention(width)
        if not last_text:
            self.mlp = Mlp(width, 4 * width, width)
        self.adaLN_modulation = modulation(width, 2 if last_text else 9 if dual else 6)
        self.parts = 2 if last_text else 9 if dual else 6

    def finish(self, x, attended, mod):
        out = x + mod[2][:, None] * self.attn.proj(attended)
        if self.parts == 9:
            own = self.attn2.proj(attend(*self.attn2.heads(modulated(x, mod[6], mod[7]))))
            out = out + mod[8][:, None] * own
        return out + mod[5][:, None] * self.mlp(modulated(out, mod[3], mod[4]))


class JointBlock(nn.Module):
    def __init__(self, width, last, dual):
        super().__init__()
        self.context_block, self.x_block = Side(width, last_text=last), Side(width, dual=dual)

    def forward(self, x, context, condition):
        mods = [side.adaLN_modulation(condition).chunk(side.parts, 1) for side in (self.context_block, self.x_block)]
        text = self.context_block.attn.heads(modulated(context, mods[0][0], mods[0][1]))
        image = self.x_block.attn.heads(modulated(x, mods[1][0], mods[1][1]))
        q, k, v = (torch.cat(pair, 2) for pair in zip(text, image))
        last = self.context_block.parts == 2
        attended = attend(image[0] if last else q, k, v)
        if last:
            return self.x_block.finish(x, attended, mods[1]), None
        count = context.shape[1]
        return (self.x_block.finish(x, attended[:, count:], mods[1]),
                self.context_block.finish(context, attended[:, :count], mods[0]))


class FinalLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, PATCH * PATCH * LATENTS)
        self.adaLN_modulation = modulation(width, 2)
        nn.init.zeros_(self.linear.weight), nn.init.zeros_(self.linear.bias)

    def forward(self, x, condition):
        return self.linear(modulated(x, *self.adaLN_modulation(condition).chunk(2, 1)))


class PatchEmbed(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Conv2d(LATENTS, width, PATCH, PATCH)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class MMDiT(nn.Module):
    """sizes: an entry like base_model.json."""

    def __init__(self, sizes):
        super().__init__()
        own = sizes["mmdit"]
        width = 64 * own["depth"]
        self.side = own["pos_side"]
        self.register_buffer("pos_embed", position_table(self.side, width))
        self.x_embedder = PatchEmbed(width)
        self.t_embedder = Embedder(256, width)
        self.y_embedder = Embedder(sizes["clip_l"]["width"] + sizes["clip_g"]["width"], width)
        self.context_embedder = nn.Linear(sizes["t5xxl"]["width"], width)
        self.joint_blocks = nn.ModuleList(JointBlock(width, i + 1 == own["depth"], i in own["dual_blocks"])
                                          for i in range(own["depth"]))
        self.final_layer = FinalLayer(width)

    def positions(self, rows, columns):
        """The window in the middle of the table."""
        top, left = (self.side - rows) // 2, (self.side - columns) // 2
        table = self.pos_embed.unflatten(1, (self.side, self.side))
        return table[:, top:top + rows, left:left + columns].flatten(1, 2)

    def forward(self, latents, timesteps, context, pooled):
        """latents [B,16,h,w], timesteps [B] in 0..1000, context [B,T,C], pooled [B,P] -> velocity [B,16,h,w]."""
        rows, columns = latents.shape[2] // PATCH, latents.shape[3] // PATCH
        condition = F.silu(self.t_embedder(timestep_waves(timesteps)) + self.y_embedder(pooled))
        x, text = self.x_embedder(latents) + self.positions(rows, columns), self.context_embedder(context)
        for block in self.joint_blocks:
            x, text = block(x, text, condition)
        out = self.final_layer(x, condition).unflatten(1, (rows, columns)).unflatten(3, (PATCH, PATCH, LATENTS))
        return out.permute(0, 5, 1, 3, 2, 4).reshape(latents.shape)
