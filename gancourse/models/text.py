"""Players that read: a caption encoder, a generator and a critic that take captions.

A caption is a row of tokens, int64 (N, L): whole numbers, 0 after the last word.
"""

import torch
from torch import Tensor, nn

from gancourse.models.dcgan import Refine, init_dcgan


class CaptionEncoder(nn.Module):
    """Map captions (N, L) to codes (N, features): the state of a GRU after the last word.

    Cho et al. 2014. `words` is the number of words; token 0 is none.
    """

    def __init__(self, words: int, features: int = 96, embedding: int = 24):
        super().__init__()
        self.embedding = nn.Embedding(words + 1, embedding, padding_idx=0)
        self.gru = nn.GRU(embedding, features, batch_first=True)

    def forward(self, caption: Tensor) -> Tensor:
        # What comes after the last word can not change the state at the last word.
        states, _ = self.gru(self.embedding(caption))
        last = (caption > 0).sum(1).clamp_min(1) - 1
        return states[torch.arange(len(caption)), last]


class TextGenerator(nn.Module):
    """Map latents (N, latent_dim) and captions (N, L) to images (N, 3, 32, 24).

    cond: "concat" or "norm".
    """

    def __init__(
        self, encoder: nn.Module, latent_dim=32, width=32, refine=2, cond="norm"
    ):
        super().__init__()
        self.latent_dim, self.encoder = latent_dim, encoder
        code = encoder.gru.hidden_size
        wide = width * 4
        self.cond = cond
        affine = cond == "concat"
        self.stem = nn.Linear(latent_dim + code, wide * 12, bias=False)
        self.norms, self.convs, self.styles = (
            nn.ModuleList(),
            nn.ModuleList(),
            nn.ModuleList(),
        )
        sizes = [wide]
        for _ in range(3):
            sizes.append(wide // 2)
            wide //= 2
        sizes = [width * 4, width * 2, width]
        for i, w in enumerate(sizes):
            self.norms.append(nn.BatchNorm2d(w, affine=affine))
            self.styles.append(nn.Linear(code, 2 * w) if not affine else nn.Identity())
            out = sizes[i + 1] if i < 2 else 3
            self.convs.append(nn.ConvTranspose2d(w, out, 4, 2, 1))
        self.refine = nn.Sequential(
            *[Refine(width * 4, nn.ReLU()) for _ in range(refine)]
        )
        for m in self.modules():
            if getattr(m, "weight", None) is not None and not isinstance(
                m, nn.Embedding
            ):
                init_dcgan(m)

    def forward(self, z: Tensor, caption: Tensor) -> Tensor:
        code = self.encoder(caption)
        x = self.stem(torch.cat([z, code], 1)).unflatten(1, (-1, 4, 3))
        for i, (norm, style, conv) in enumerate(
            zip(self.norms, self.styles, self.convs)
        ):
            x = norm(x)
            if self.cond != "concat":
                g, b = style(code)[:, :, None, None].chunk(2, 1)
                x = x * (1 + g) + b
            x = x.relu()
            if i == 0:
                x = self.refine(x)
            x = conv(x)
        return x.tanh()


class TextDiscriminator(nn.Module):
    def __init__(self, encoder, width=32, refine=2, cond="concat", norm=True):
        super().__init__()
        self.encoder, self.cond = encoder, cond
        code = encoder.gru.hidden_size
        bn = lambda k: nn.BatchNorm2d(k) if norm else nn.Identity()
        self.look = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            bn(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
            bn(4 * width),
            nn.LeakyReLU(0.2),
            *[Refine(4 * width, nn.LeakyReLU(0.2), norm) for _ in range(refine)],
        )
        w = 4 * width
        self.plain = nn.Linear(w * 12, 1)
        if cond == "concat":
            self.mix = nn.Sequential(
                nn.Conv2d(w + code, w, 1),
                nn.LeakyReLU(0.2),
                nn.Flatten(),
                nn.Linear(w * 12, 1),
            )
        elif cond == "mlp":
            self.code1 = nn.Linear(w * 12, 256)
            self.code2 = nn.Linear(code, 256)
            self.mix = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(256, 1))
        elif cond == "film":
            self.film = nn.Linear(code, 2 * w)
            self.mix = nn.Sequential(
                nn.Conv2d(w, w, 3, 1, 1),
                nn.LeakyReLU(0.2),
                nn.Flatten(),
                nn.Linear(w * 12, 1),
            )
        else:
            self.proj = nn.Linear(code, 256)
            self.down = nn.Linear(w * 12, 256)
        for m in self.modules():
            if getattr(m, "weight", None) is not None and not isinstance(
                m, nn.Embedding
            ):
                init_dcgan(m)

    def score(self, seen, code):
        if self.cond == "concat":
            spread = code[:, :, None, None].expand(-1, -1, 4, 3)
            return self.mix(torch.cat([seen, spread], 1)).squeeze(1)
        if self.cond == "mlp":
            return self.mix(self.code1(seen.flatten(1)) + self.code2(code)).squeeze(1)
        if self.cond == "film":
            g, b = self.film(code)[:, :, None, None].chunk(2, 1)
            return self.mix(seen * (1 + g) + b).squeeze(1)
        return (
            self.plain(seen.flatten(1)).squeeze(1)
            + (self.down(seen.flatten(1)) * self.proj(code)).sum(1) / 16
        )

    def forward(self, x, caption):
        return self.score(self.look(x), self.encoder(caption))
