"""The SD3 autoencoder as PyTorch modules whose parameter names are those of the file (without `first_stage_model.`)."""
import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (1, 2, 4, 4)  # of each level, times the base width
LATENTS = 16
SHIFT, SCALE = 0.0609, 1.5305  # fixed in every SD3 program


def conv(inputs, outputs, side=3, stride=1):
    return nn.Conv2d(inputs, outputs, side, stride, padding=side // 2 if stride == 1 else 0)


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), conv(inputs, outputs)
        self.norm2, self.conv2 = norm(outputs), conv(outputs, outputs)
        if inputs != outputs:
            self.nin_shortcut = conv(inputs, outputs, 1)
        nn.init.zeros_(self.conv2.weight)  # begins as the identity

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v, self.proj_out = (conv(channels, channels, 1) for _ in range(4))
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2).unsqueeze(1) for layer in (self.q, self.k, self.v))
        out = F.scaled_dot_product_attention(q, k, v)  # [B,1,N,C]
        return x + self.proj_out(out.squeeze(1).transpose(1, 2).reshape(x.shape))


class Middle(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = ResBlock(channels, channels), Attention(channels), ResBlock(channels, channels)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Resample(nn.Module):
    """Holds the convolution that halves or follows a doubling."""

    def __init__(self, channels, stride):
        super().__init__()
        self.conv = conv(channels, channels, 3, stride)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1))) if self.conv.stride[0] == 2 else self.conv(F.interpolate(x, scale_factor=2.0))


class Level(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.block = nn.ModuleList(ResBlock(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        for block in self.block:
            x = block(x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class Encoder(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.conv_in = conv(3, base)
        self.down = nn.ModuleList()
        width = base
        for level, factor in enumerate(WIDTHS):
            self.down.append(Level([width] + 2 * [base * factor]))
            width = base * factor
            if level + 1 < len(WIDTHS):
                self.down[-1].downsample = Resample(width, 2)
        self.mid, self.norm_out, self.conv_out = Middle(width), norm(width), conv(width, 2 * LATENTS)

    def forward(self, x):
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    def __init__(self, base):
        super().__init__()
        width = base * WIDTHS[-1]
        self.conv_in, self.mid = conv(LATENTS, width), Middle(width)
        levels = []
        for level in reversed(range(len(WIDTHS))):
            levels.insert(0, Level([width] + 3 * [base * WIDTHS[level]]))
            width = base * WIDTHS[level]
            if level > 0:
                levels[0].upsample = Resample(width, 1)
        self.up = nn.ModuleList(levels)  # index = level: 0 has the full size
        self.norm_out, self.conv_out = norm(width), conv(width, 3)

    def forward(self, z):
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Vae(nn.Module):
    def __init__(self, base=32):
        super().__init__()
        self.encoder, self.decoder = Encoder(base), Decoder(base)
        with torch.no_grad():
            self.encoder.conv_out.bias[LATENTS:] = -5.0  # little noise at first: log-variances

    def encode(self, pixels):
        """pixels [B,3,H,W] in -1..1 -> means and log-variances, each [B,16,H/8,W/8]."""
        return self.encoder(pixels).chunk(2, 1)

    def decode(self, latents):
        return self.decoder(latents)


@torch.no_grad()
def scale_latents(vae, std):
    """Gives the latents, as the transformer sees them, a deviation of 1 without changing a picture: every channel is
    multiplied by 1 / (std * SCALE) in the encoder's last layer and divided by it in the decoder's first. Their mean is
    near zero already (the KL term pulls it there) and stays: the decoder pads with zeros, so a shift would be seen at
    the border. std: [16], of the means over many pictures."""
    gain = 1 / (std * SCALE)
    out, first = vae.encoder.conv_out, vae.decoder.conv_in
    out.weight[:LATENTS] *= gain.view(-1, 1, 1, 1)
    out.bias[:LATENTS] *= gain
    out.bias[LATENTS:] += 2 * gain.log()  # log-variances
    first.weight /= gain.view(1, -1, 1, 1)
