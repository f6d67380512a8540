# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · Super-resolution and noise augmentation
#
# A network that makes a large picture out of a small one learns from perfect small pictures and is then handed drawn ones;
# noise on the small picture, at a level that the network is told, makes the two hard to tell apart.
#
# **Where this stands.** The base of lesson 11 draws 64 × 64 pixels, and lesson 12 built the network that can afford more. This
# lesson derives what that network is for: the chain 64 → 256 → 1024, what each link is told, and the one trick without which
# the chain breaks. Lesson 14 hangs the links together.
#
# **Proof number.** The clean value has variance 1, its small copy an error of variance 0.05. A drawn copy brings a further
# error of variance 0.4. The best linear rule for perfect copies then loses 0.410 where it lost 0.048. The rule for copies with
# added noise of variance 0.4 loses 0.310, and 0.120 where nothing was wrong: robustness has a price, and the level is the knob
# that sets it.

# %% [markdown]
# ## What you will be able to do
#
# - split a picture's probability over three sizes, and say which of the steps assumes something;
# - shrink a picture without aliasing, by a matrix, and know what its transpose is for;
# - derive noise conditioning augmentation, why the level must be told, and what its two ends mean;
# - compute how far training and use are apart, and watch noise close the gap, on paper and in trained networks;
# - measure a super-resolution network honestly: PSNR and its trap, crops against whole pictures, a photograph that it cannot
#   do.
#
# You need: lessons 02, 04, 05 and 06; lesson 12 for the shipped network; what a Gaussian's variance is.
#
# Your time: 110 minutes, exercises included.
#
# Measured run time: 17 s on one thread.
#
# Every symbol stands in [NOTATION.md](NOTATION.md), every new word in [GLOSSARY.md](GLOSSARY.md).

# %% [markdown]
# ## Set-up
#
# One cell, and then the cascade that comes with minimagen: `sr256` is its 64 → 256 network. We let it take 6 steps of sampling
# in the place of 32. A small network that invents little hardly needs more.

# %% tags=["setup"]
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import ipywidgets
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from minimagen import checks, lesson, noise, pixels, superres
from minimagen.cascade import Cascade, seeded
from minimagen.conditioning import Cond, LowRes
from minimagen.evaluate import edge_width
from minimagen.shapes import Shapes

lesson.setup(seed=13)

# %%
cascade = Cascade.load(device="cpu")
sr256 = replace(cascade.stages[1], steps=6)
data = Shapes(256, "held-out", {"single": 1.0})
pages = torch.stack([pixels.from_uint8(data[i][0]) for i in range(4)])
captions = [data.caption(i) for i in range(4)]
text, small = cascade.encoder.encode(captions), pixels.resize(pages, 64)


def enlarge(below, level=0.05, rows=slice(0, 4)):
    stage = replace(sr256, aug_level=level)
    *_, last = stage.run(text[rows], below, [seeded(i, 1) for i in range(4)[rows]])
    return last.x0


# %% [markdown]
# ## Predict first
#
# Write down three guesses.
#
# 1. In the toy of the proof number a rule loses 0.048 on perfect small copies. The copies get a further error of variance 0.4,
#    while what they are copies of has variance 1. By which factor does the loss grow: 2, 4, or more than 8?
# 2. A small picture already has errors. We add noise on top of them, on purpose, and tell the network how much. Does that help
#    never, always, or only if the errors are large enough?
# 3. `sr256` has been trained on drawings only. It gets a photograph of 64 × 64 pixels. Compared with smooth interpolation, is
#    the error of its enlargement smaller, about the same, or more than twice as large?

# %% [markdown]
# ## Intuition: sharp, and therefore gullible
#
# Here is a page, shrunk to 64 pixels and brought back to 256 in two ways: by smooth (bicubic) interpolation, and by `sr256`.

# %%
rng = torch.Generator().manual_seed(130)
blotches = F.interpolate(0.2 * torch.randn(4, 3, 16, 16, generator=rng), size=64, mode="bicubic")
spoiled = small + blotches
drawn = enlarge(small[:1], rows=slice(0, 1)), enlarge(spoiled[:1], rows=slice(0, 1))

# %%
middle = lambda x: x[0, :, 64:192, 64:192]
rows = []
for below, large in zip((small, spoiled), drawn, strict=True):
    given = F.interpolate(below[:1], 256), pixels.resize(below[:1], 256)
    rows.append(torch.stack([middle(x) for x in (*given, large, pages[:1])]))
titles = ["handed over", "bicubic", "sr256", "the page"]
figure = lesson.strip(torch.stack(rows), titles, ["perfect", "spoiled"], 1.5)
lesson.show(figure, alt="A part of a page: coarse pixels, a blurred enlargement, a sharp one, the page; spoiled below.")
widths = [edge_width(x[:1]).item() for x in (pixels.resize(small, 256), drawn[0], pages)]
print("sr256's edges are less than half as wide as bicubic's:", widths[1] < 0.5 * widths[0])

# %% [markdown]
# *Figure 1. The middle of a page: what is handed over, the two enlargements, and the truth. Above, the small picture is
# perfect; below, it has smooth errors of deviation 0.2, as a picture drawn by another network may have. Notice that bicubic
# enlarges the errors with the shape, that `sr256` wipes nearly all of them off, and that it has made a drip of one blotch at
# the edge of the circle, which it took for a part of it.*
#
# To make an edge sharp, a network must believe what the small picture says about it. A network that has only ever seen perfect
# small pictures believes *everything* that they say, to the last digit. This one believes less, because it was brought up on
# noisy ones. We will build both kinds.

# %% [markdown]
# ## Three pictures of one scene
#
# Write $x_{64}$, $x_{256}$ and $x_{1024}$ for one scene at three sizes. The probability of three things together is the first,
# times the second given the first, times the third given both. This is how conditional probabilities are defined, applied
# twice, and assumes nothing:
#
# $$ p(x_{64}, x_{256}, x_{1024}) = p(x_{64})\; p(x_{256} \mid x_{64})\; p(x_{1024} \mid x_{256}, x_{64}) \tag{13.1} $$
#
# Everything may be given a text $c$ besides; it stands behind every bar and changes nothing. The check takes a world so small
# that all of it fits in a table: large pictures of four black or white pixels, which a random joint law makes more or less
# likely. The middle picture has two pixels, the number of white ones in each half, and the smallest is whether at least two are
# white. We draw from the three factors in turn, and count.

# %%
g = torch.Generator().manual_seed(131)
large = torch.cartesian_prod(*[torch.tensor([0, 1])] * 4)
middle, coarse = 3 * large[:, :2].sum(1) + large[:, 2:].sum(1), (large.sum(1) >= 2).long()
table = torch.zeros(2, 9, 16, dtype=torch.float64)  # the joint law [x64, x256, x1024]
table[coarse, middle, torch.arange(16)] = torch.rand(16, generator=g, dtype=torch.float64)
table /= table.sum()

# %% tags=["eq-13.1"]
g = torch.Generator().manual_seed(147)
first = table.sum((1, 2)).multinomial(400_000, True, generator=g)
second = table.sum(2)[first].multinomial(1, generator=g)[:, 0]
third = table[first, second].multinomial(1, generator=g)[:, 0]
counted = torch.bincount((first * 9 + second) * 16 + third, minlength=288) / 400_000
lesson.check("13.1", counted.reshape(2, 9, 16), table, 0.004)


# %% [markdown]
# The cascade uses less: its last network sees $x_{256}$ and not $x_{64}$. Replacing $p(x_{1024} \mid x_{256}, x_{64})$ by
# $p(x_{1024} \mid x_{256})$ makes a model $p_\text{chain}$. How far is it from the truth? In the divergence
# $\mathbb{E}\log\frac{p}{p_\text{chain}}$ the first two factors cancel:
#
# $$ \operatorname{KL}(p \,\|\, p_\text{chain}) = \mathbb{E}\left[\log \frac{p(x_{1024} \mid x_{256}, x_{64})}{p(x_{1024} \mid x_{256})}\right] = I(x_{1024};\, x_{64} \mid x_{256}) \tag{13.2} $$
#
# The mean on the right is the **conditional information**: what $x_{64}$ still tells about $x_{1024}$ to somebody who sees
# $x_{256}$. In the data $x_{64}$ is made *from* $x_{256}$ by shrinking, so it tells nothing new: the fraction is 1, and the
# chain assumes nothing. That changes when $x_{64}$ comes from elsewhere, for example straight from $x_{1024}$ with errors of
# its own. We check both. The left side compares two tables; the right side is a sum of entropies, $H(x_{1024}, x_{256}) +
# H(x_{256}, x_{64}) - H(\text{all}) - H(x_{256})$.

# %% tags=["eq-13.2"]
def chain_gap(p):
    last = p.sum(0) / p.sum((0, 2))[:, None].clamp(min=1e-300)  # p(x1024 | x256)
    chain = p.sum(2)[..., None] * last
    return torch.where(p > 0, p * (p / chain).log(), 0.0).sum()


entropy = lambda p: -torch.xlogy(p, p).sum()
noisy = 0.8 * table + 0.2 * table.roll(1, 0)  # one smallest picture in five is wrong, whatever the middle one says
wrong = torch.stack([table.sum(0) * (0.9 - 0.8 * (large[:, 0] == i)) for i in (0, 1)])  # x64 made from pixel 0 of x1024
by_entropy = [entropy(p.sum(0)) + entropy(p.sum(2)) - entropy(p) - entropy(p.sum((0, 2))) for p in (table, noisy, wrong)]
lesson.check("13.2", torch.stack([chain_gap(p) for p in (table, noisy, wrong)]), torch.stack(by_entropy), 1e-12)

# %%
print([f"{chain_gap(p).abs():.3f}" for p in (table, noisy, wrong)], "nats: shrunk; shrunk, then at random wrong; from x1024")

# %% [markdown]
# Zero where the smallest picture is made from the middle one, also when it is then spoiled by chance; more than zero where it
# is taken from the largest by a way of its own. So make each small picture from the next larger one, as `superres.lowres` does
# in training, and the chain loses nothing.
#
# > **Reading the article with care.** The article shows the cascade as three models in a row, each later one conditioned on the
# > picture below and on further signals. Two details matter. 256 pixels are reached after *one* super-resolution network and
# > 1024 after two. And "the picture below" means a real picture, shrunk, while the network is trained, and another network's
# > drawing while it is used. That is the difference that this lesson is about.

# %% [markdown]
# ## Shrinking without lies
#
# The small picture is a measurement of the large one, and it can be a bad one. Take a wave $\cos(2\pi f k)$ along the pixels
# $k$, with $f$ periods a pixel, and keep every $r$-th pixel, that is $k = rj$. For a whole number $m$ the angles $2\pi f r j$
# and $2\pi f r j - 2\pi m j$ have the same cosine:
#
# $$ \cos(2\pi f\, r j) = \cos\!\left(2\pi \left(f - \frac{m}{r}\right) r j\right) \tag{13.3} $$
#
# So a fine wave $f$ and the coarse wave $f - m/r$ give the *same* samples, and whoever sees the samples believes in the coarse
# one. This is **aliasing**. With $r = 4$ a wave of 0.3 periods a pixel looks like one of $0.3 - 0.25 = 0.05$. The check finds
# the loudest frequency in the samples by a Fourier transform.

# %% tags=["eq-13.3"]
wave = torch.cos(2 * torch.pi * 0.3 * torch.arange(1600, dtype=torch.float64))
spectrum = torch.fft.rfft(wave[::4]).abs()
loudest = torch.fft.rfftfreq(400)[spectrum.argmax()] / 4  # periods a sample -> periods a pixel
lesson.check("13.3", 0.3 - 1 / 4, loudest, 1e-6)


# %% [markdown]
# The cure is to average before sampling: each new pixel is a weighted mean of the old ones around it, as wide as the new pixels
# are apart. In one dimension, with $N$ old and $n$ new pixels and $r = N/n$, the centre of new pixel $i$ lies at $(i +
# \tfrac12)r$ and that of old pixel $j$ at $j + \tfrac12$, in old pixels. With a bump $w$ the weights are
#
# $$ R_{ij} = \frac{w\!\left(\frac{j + 1/2}{r} - i - \frac12\right)}{\sum_k w\!\left(\frac{k + 1/2}{r} - i - \frac12\right)}, \qquad y = R\,x\,R^\top \tag{13.4} $$
#
# The sum below makes the weights of each new pixel add up to 1, also at the edge. For a square picture $R$ works on the columns
# and $R^\top$ on the rows. `pixels.resize` takes for $w$ the cubic bump of Keys (1981): a piece of a cubic on $|u| \le 1$,
# another on $1 \le |u| \le 2$, joined smoothly, 1 at the middle, 0 and slightly negative further out. Dividing by $r$ inside
# $w$ is the whole of **antialiasing**: leave it out, and the bump reaches over the nearest four old pixels only, however many
# lie between the new ones.

# %% tags=["eq-13.4"]
def shrinking(n, N):
    u = ((torch.arange(N).double() + 0.5) * n / N - torch.arange(n)[:, None] - 0.5).abs()
    inner, outer = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    bump = torch.where(u < 1, inner, torch.where(u < 2, outer, 0.0))
    return bump / bump.sum(1, keepdim=True)


R = shrinking(64, 256)
lesson.check("13.4", R @ pages.double() @ R.T, pixels.resize(pages.double(), 64), 1e-9)

# %% [markdown]
# Rings that become ever finer towards the edge show what is at stake.

# %%
side = torch.linspace(-1, 1, 256)
rings = torch.cos(100 * (side[:, None] ** 2 + side**2))[None, None]
naive, fair = rings[..., ::4, ::4], pixels.resize(rings, 64)
views = torch.cat([F.interpolate(x, 256) for x in (rings, naive, fair)])
figure = lesson.strip(views, ["256 pixels", "every 4th pixel", "antialiased"], side=1.15)
lesson.show(figure, alt="Rings finer to the edge; taking every fourth pixel shows false rings, antialiasing fades to grey.")
corner = lambda x: x[..., :8, :8].abs().mean()
print(f"mean absolute value at a corner, where the rings are finest: {corner(naive):.2f}, antialiased {corner(fair):.2f}")

# %% [markdown]
# *Figure 2. Fine rings, shrunk in two ways. Notice that the middle picture shows sets of rings that do not exist, as (13.3)
# predicts. The right one turns grey where the rings are too fine: it says that it does not know. A super-resolution network
# trained on the middle kind would learn to undo lies that no drawn picture tells.*
#
# ### The transpose, and what cannot be known
#
# $R$ has more columns than rows, so many large signals have the same small one. Suppose that $x$ should be moved so that its
# small copy comes nearer to $y$: which way? Write the squared distance and differentiate by one entry $x_j$. With $(Rx)_i =
# \sum_j R_{ij}x_j$,
#
# $$ \frac{\partial}{\partial x_j}\, \tfrac12 \sum_i \left((Rx)_i - y_i\right)^2 = \sum_i R_{ij}\left((Rx)_i - y_i\right) \qquad\Longrightarrow\qquad \nabla_x \tfrac12\|Rx - y\|^2 = R^\top(Rx - y) \tag{13.5} $$
#
# $R^\top$, the **adjoint**, carries an error of the small picture back to those pixels that caused it. It is not the way back:
# it is no inverse, and it is not interpolation. Automatic differentiation through `resize` must give the same for pictures.

# %% tags=["eq-13.5"]
x, y = pages[:1].double().requires_grad_(), small[1:2].double()
(pixels.resize(x, 64) - y).square().sum().div(2).backward()
by_transpose = R.T @ (R @ x.detach() @ R.T - y) @ R
lesson.check("13.5", by_transpose, x.grad, 1e-12)
print("of 256 numbers along a side, the small picture fixes", torch.linalg.matrix_rank(R).item())

# %% [markdown]
# 64 of 256 along each side, so 1 of 16 over the picture. The other fifteen sixteenths must be known from elsewhere, that is,
# from having seen many pictures.

# %% [markdown]
# ## What a network answers, and how it is judged
#
# A super-resolution network is a denoiser as in lesson 04 with one more input: it guesses $x_0$ from the noisy large picture
# $z$, its level $\lambda$, and the small picture $y$. (In the network of lesson 12, $y$ is enlarged smoothly and laid beside
# $z$ as three more channels.) The argument of lesson 04 holds for any input: among all functions of what one sees, the mean
# squared error is smallest at the mean of $x_0$ given what one sees. To see it once more, let $m = \mathbb{E}[x_0 \mid z, y]$
# and $f$ any other guess. Then $\mathbb{E}|x_0 - f|^2 = \mathbb{E}|x_0 - m|^2 + \mathbb{E}|m - f|^2 + 2\,\mathbb{E}[(x_0 -
# m)\cdot(m - f)]$, and the last term is 0, because for each fixed $(z, y)$ the second factor is a constant and the first has
# mean 0.
#
# So for Gaussians the answer must be a formula. Let $x_0$ have mean 0 and covariance $C$, and let $y = Ax_0$ plus independent
# noise of variance $\nu$. With $z = \alpha x_0 + \sigma\varepsilon$, both measurements together are $B x_0$ plus noise, with
# $B$ the matrix $\alpha I$ stacked on $A$, and $N$ the diagonal covariance of the noise. Linear regression has the coefficients
# "covariance with what is seen, times inverse covariance of what is seen":
#
# $$ \mathbb{E}[x_0 \mid z, y] = C B^\top \left(B C B^\top + N\right)^{-1} \begin{pmatrix} z \\ y \end{pmatrix} \tag{13.6} $$
#
# The check never inverts anything: it fits a straight line to 200 000 random examples, which is what training does.

# %%
g = torch.Generator().manual_seed(132)
near = (torch.arange(8)[:, None] - torch.arange(8)).abs()
C, A = 0.7 ** near.double(), shrinking(2, 8)
logsnr = torch.tensor([-1.0], dtype=torch.float64)
alpha, sigma = (scale.item() for scale in noise.alpha_sigma(logsnr, 1))
x0 = torch.randn(200_000, 8, generator=g, dtype=torch.float64) @ torch.linalg.cholesky(C).T

# %% tags=["eq-13.6"]
B = torch.cat([alpha * torch.eye(8, dtype=torch.float64), A])
N = torch.diag(torch.tensor([sigma**2] * 8 + [0.05] * 2, dtype=torch.float64))
line = C @ B.T @ torch.linalg.inv(B @ C @ B.T + N)

# %%
g = torch.Generator().manual_seed(145)
seen = x0 @ B.T + torch.randn(200_000, 10, generator=g, dtype=torch.float64) @ N.sqrt()
lesson.check("13.6", line, torch.linalg.lstsq(seen, x0).solution.T, 0.01)


# %% [markdown]
# ### Decibels
#
# The usual mark for an enlargement is the **peak signal-to-noise ratio**, PSNR: the square of the largest possible difference
# over the mean squared error, on a logarithmic scale. Pictures in $[-1, 1]$ have the largest difference 2, so
#
# $$ \text{PSNR} = 10 \log_{10} \frac{2^2}{\text{MSE}} = 20\log_{10}\frac{2}{\text{RMSE}} \qquad\text{(decibels, dB)} \tag{13.7} $$
#
# Ten decibels more are a tenth of the mean squared error; 3 dB are a factor of $10^{0.3} \approx 2$. With pixels counted from 0
# to 255 both the peak and the root of the error grow by 127.5, and the ratio stays. This is the check: it counts in 8-bit
# pixels.

# %% tags=["eq-13.7"]
def psnr(picture, truth):
    return 10 * torch.log10(4 / (picture - truth).square().flatten(1).mean(1))


# %%
a, b = pixels.resize(small, 256).clamp(-1, 1), pages
shades, truth = ((x.double().numpy() + 1) * 127.5 for x in (a, b))
by_shades = 20 * np.log10(255 / np.sqrt(((shades - truth) ** 2).mean((1, 2, 3))))
lesson.check("13.7", psnr(a, b), torch.from_numpy(by_shades), 1e-3)

# %% [markdown]
# PSNR has a trap. Say that a sampler is perfect: given $y$ it draws $x'$ from the very law $p(x \mid y)$ that the true $x$
# comes from, and independently of it. Let $m = \mathbb{E}[x \mid y]$ be the blurred mean. Then $x - x' = (x - m) - (x' - m)$,
# the two parts are independent with mean 0 given $y$, and their mean squares are equal:
#
# $$ \mathbb{E}|x - x'|^2 = \mathbb{E}|x - m|^2 + \mathbb{E}|x' - m|^2 = 2\,\mathbb{E}|x - m|^2 \tag{13.8} $$
#
# **The perfect sampler has twice the squared error of a perfect blur: 3.01 dB less.** PSNR prefers what nobody would call a
# picture. So read it beside a mark of sharpness, as we do below. The check draws from the Gaussian of (13.6) by its conditional
# covariance.

# %% tags=["eq-13.8"]
spread = C - line @ B @ C  # the covariance of x0 given what is seen
blur, g = seen @ line.T, torch.Generator().manual_seed(146)
another = blur + torch.randn(200_000, 8, generator=g, dtype=torch.float64) @ torch.linalg.cholesky(spread).T
cost = 10 * torch.log10((x0 - another).square().mean() / (x0 - blur).square().mean())
lesson.check("13.8", 10 * math.log10(2), cost, 0.02)


# %% [markdown]
# ## The gap
#
# In training the network meets small pictures from one law, $p(y)$: real ones, shrunk. In use it meets another law, $\hat
# p(y)$: those that the stage below draws. Let its loss on a small picture be $\ell(y)$, somewhere between 0 and a largest value
# $M$. Then
#
# $$ \mathbb{E}_{\hat p}\,\ell - \mathbb{E}_p\,\ell = \int \ell\,(\hat p - p)\,dy \;\le\; M\int \max(\hat p - p,\, 0)\,dy = M \cdot \operatorname{TV}(\hat p, p), $$
#
# where the **total variation** TV is the last integral: how much mass must be moved to turn one law into the other, between 0
# and 1. Training sees to the second mean alone. The first can be worse by as much as the laws are apart, and a powerful network
# finds every opportunity.
#
# We can train the stage below better. Or we can blur *both* laws, in training and in use, by the same noise.
#
# ### Noise conditioning augmentation
#
# Take the forward process of lesson 02 for the small picture. Choose an **augmentation level** $a \in [0, 1]$, a time; let
# $\lambda_a$ be the log signal-to-noise ratio there, with its $\alpha_a$ and $\sigma_a$. The network gets, in the place of $y$,
#
# $$ q(\tilde y \mid y, a) = \mathcal{N}\!\left(\tilde y;\; \alpha_a\, y,\; \sigma_a^2 I\right) \tag{13.9} $$
#
# *and* $\lambda_a$, as one more embedding. In training, $a$ is drawn at random for each picture; in use, we choose it. Divide
# $\tilde y$ by $\alpha_a$, and it is $y$ plus noise of variance $s = \sigma_a^2/\alpha_a^2 = e^{-\lambda_a}$: the level,
# counted in the picture's own units. That is all of it. Nothing else in the network, the loss or the sampler changes.
#
# The order matters: first shrink, then add noise. Noise added before shrinking would be averaged away by $R$, and its pixels
# would no longer be independent.

# %% tags=["eq-13.9"]
def augment(y, a, eps):
    logsnr = noise.cosine(a)
    alpha, sigma = noise.alpha_sigma(logsnr, y.ndim)
    return alpha * y + sigma * eps, logsnr


# %%
a, g = torch.tensor([0.0, 0.1, 0.3, 1.0], dtype=torch.float64), torch.Generator().manual_seed(141)
eps = torch.randn(50_000, 4, 1, generator=g, dtype=torch.float64)
found, logsnr = augment(torch.full((50_000, 4, 1), 0.5, dtype=torch.float64).transpose(0, 1), a, eps.transpose(0, 1))
bent = torch.pi / 2 * a  # the cosine schedule is alpha = cos, sigma = sin, but for its two ends
lesson.check("13.9", torch.cat([found.mean((1, 2)), found.std((1, 2))]), torch.cat([0.5 * bent.cos(), bent.sin()]), 0.01)

# %% [markdown]
# ### No noise can move two laws further apart
#
# Let $p$ and $\hat p$ be any two laws of $y$, and pass both through the same noise. Compute the divergence of the *pairs* $(y,
# \tilde y)$ in two ways. First by way of $y$: given $y$ the noisy picture has one law, whoever made $y$, so it adds nothing.
# Then by way of $\tilde y$:
#
# $$ \operatorname{KL}(\hat p(y) \,\|\, p(y)) = \operatorname{KL}(\hat p(\tilde y) \,\|\, p(\tilde y)) + \mathbb{E}_{\hat p(\tilde y)}\left[\operatorname{KL}\!\left(\hat p(y \mid \tilde y) \,\|\, p(y \mid \tilde y)\right)\right] \tag{13.10} $$
#
# Both terms on the right are divergences, so neither is negative, and $\operatorname{KL}(\hat p(\tilde y)\|p(\tilde y)) \le
# \operatorname{KL}(\hat p(y)\|p(y))$. This is the **data processing inequality**: no processing of the data makes two sources
# easier to tell apart. It needs no Gaussian. The check takes a pixel that is black, grey or white, with other shares in use
# than in training, and integrates.

# %% tags=["eq-13.10"]
values = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
real, used = torch.tensor([0.2, 0.1, 0.7]).double(), torch.tensor([0.3, 0.5, 0.2]).double()
axis = torch.linspace(-8, 8, 4001, dtype=torch.float64)
alpha, sigma = math.cos(math.pi / 2 * 0.4), math.sin(math.pi / 2 * 0.4)  # a = 0.4
likely = Normal(alpha * values[:, None], sigma).log_prob(axis).exp()
noisy_real, noisy_used = real @ likely, used @ likely
kl = lambda p, q: (p * (p / q).log()).sum(0)
after = kl(noisy_used, noisy_real) * 0.004
inside = (noisy_used * kl(used[:, None] * likely / noisy_used, real[:, None] * likely / noisy_real)).sum() * 0.004
lesson.check("13.10", kl(used, real), after + inside, 1e-6)
print(f"divergence without noise {kl(used, real):.2f}, with noise of level 0.4 {after:.2f} nats")


# %% [markdown]
# ### Gaussians, in closed form
#
# How fast does the gap close? Say that a real pixel has variance $v$, and a drawn one $v + \tau^2$: the same plus an
# independent error. After noise, both are Gaussians with mean 0 and variances $\alpha_a^2 v + \sigma_a^2$ and $\alpha_a^2(v +
# \tau^2) + \sigma_a^2$. Call their ratio $\rho$. The divergence of $\mathcal{N}(0, \rho w)$ to $\mathcal{N}(0, w)$ is the mean
# of $-\tfrac12\log\rho - \tfrac{u^2}{2\rho w} + \tfrac{u^2}{2w}$ over $u \sim \mathcal{N}(0, \rho w)$, that is, with
# $\mathbb{E}u^2 = \rho w$,
#
# $$ \operatorname{KL}_a = \tfrac12\left(\rho - 1 - \log\rho\right), \qquad \rho = 1 + \frac{\tau^2}{v + e^{-\lambda_a}} \tag{13.11} $$
#
# (Divide both variances by $\alpha_a^2$ for the second formula.) It falls with every bit of noise, since $e^{-\lambda_a} = s$
# grows with $a$. For small $\tau^2$ it behaves like $\frac14\left(\frac{\tau^2}{v + s}\right)^2$, for $\rho - 1 - \log\rho
# \approx \tfrac12(\rho-1)^2$.

# %% tags=["eq-13.11"]
def divergence(a, tau2, v=1.0):
    rho = 1 + tau2 / (v + torch.exp(-noise.cosine(a)))
    return (rho - 1 - rho.log()) / 2


# %%
a = torch.tensor([0.0, 0.2, 0.5, 0.9], dtype=torch.float64)[:, None]
alpha, sigma = (scale[:, None] for scale in noise.alpha_sigma(noise.cosine(a[:, 0]), 1))
laws = [Normal(0.0, (alpha**2 * v + sigma**2).sqrt()) for v in (1.4, 1.0)]
fine = torch.linspace(-15, 15, 30001, dtype=torch.float64)
p, q = (law.log_prob(fine) for law in laws)
lesson.check("13.11", divergence(a, 0.4)[:, 0], (p.exp() * (p - q)).sum(1) * 0.001, 1e-6)


# %% [markdown]
# A drawn picture may also be systematically off: too bright by $\delta$, say. Then the two noisy laws have one variance $w =
# \alpha_a^2 v + \sigma_a^2$ and means $\alpha_a\delta$ apart. Their densities cross half way, so the excess mass of one lies on
# one side, and by symmetry
#
# $$ \operatorname{TV}_a = \Phi\!\left(\frac{\alpha_a\delta}{2\sqrt{w}}\right) - \Phi\!\left(-\frac{\alpha_a\delta}{2\sqrt{w}}\right) = 2\,\Phi\!\left(\frac{\delta}{2\sqrt{v + e^{-\lambda_a}}}\right) - 1 \tag{13.12} $$
#
# with $\Phi$ the distribution function of the standard normal law. That is for one pixel. A picture has thousands, all off in
# the same way, and then $\delta$ becomes the length of the whole shift, $\delta\sqrt{d}$ for $d$ pixels: small errors of each
# pixel make the pictures as a whole perfectly distinguishable.

# %% tags=["eq-13.12"]
def variation(a, delta, v=1.0):
    return 2 * Normal(0, 1).cdf(delta / (2 * (v + torch.exp(-noise.cosine(a))).sqrt())) - 1


# %%
spread = (alpha**2 + sigma**2).sqrt()
p, q = (Normal(alpha * shift, spread).log_prob(fine).exp() for shift in (1.5, 0.0))
lesson.check("13.12", variation(a, 1.5)[:, 0], (p - q).clamp(min=0).sum(1) * 0.001, 1e-6)


# %% [markdown]
# And what does the noise cost? The network must learn about the large pixel $x$ from $\tilde y$. With $x \sim \mathcal{N}(0,
# 1)$, a small copy $y = x + n$, $\operatorname{Var} n = \nu$, the best linear guess and the information that $\tilde y$ holds
# about $x$ are
#
# $$ \hat x = \frac{\alpha_a}{\alpha_a^2(1 + \nu) + \sigma_a^2}\,\tilde y, \qquad I_a = \tfrac12 \log\left(1 + \frac{1}{\nu + e^{-\lambda_a}}\right) \tag{13.13} $$
#
# The first is covariance $\alpha_a$ over variance, as in (13.6). The second is $\tfrac12\log$ of the variance of $\tilde y$
# over its variance when $x$ is known. **The two ends:** at $a = 0$, $s = 0$ and the guess trusts the picture as far as $\nu$
# allows. At $a = 1$, $\alpha_a = 0$: the weight is 0, the information is 0, and the network *forgets the picture*. It is then a
# plain generator of large pictures. All between is a mixture of the two. The check measures regression and correlation; for
# Gaussians $I = -\tfrac12\log(1 - \text{correlation}^2)$.

# %% tags=["eq-13.13"]
def trust(a, nu):
    alpha, sigma = noise.alpha_sigma(noise.cosine(a), a.ndim)
    return alpha / (alpha**2 * (1 + nu) + sigma**2), 0.5 * torch.log1p(1 / (nu + torch.exp(-noise.cosine(a))))


# %%
g = torch.Generator().manual_seed(142)
x, n = torch.randn(2, 1_000_000, generator=g, dtype=torch.float64)
measured = []
for level in (0.0, 0.3, 0.6, 1.0):
    seen = augment((x + 0.05**0.5 * n)[None], torch.tensor([level]).double(), torch.randn(x.shape, generator=g).double())[0][0]
    correlation = (x * seen).mean() / (x.std() * seen.std())
    measured.append(torch.stack([(x * seen).mean() / seen.square().mean(), -0.5 * torch.log1p(-(correlation**2))]))
levels = torch.tensor([0.0, 0.3, 0.6, 1.0]).double()
lesson.check("13.13", torch.stack(trust(levels, 0.05), 1), torch.stack(measured), 0.01)

# %%
grid = torch.linspace(0, 1, 101, dtype=torch.float64)
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.2))
gaps = {"KL, error of variance 0.4": divergence(grid, 0.4), "TV, shift 1.5": variation(grid, 1.5)}
left = {name: gap / gap[0] for name, gap in gaps.items()}
lesson.curves(grid, left, "augmentation level a", "part of the gap that is left", axes[0])
information = trust(grid, 0.05)[1]
lesson.curves(grid, {"one pixel": information}, "augmentation level a", "information left (nats)", axes[1])
lesson.show(figure, alt="Against the level both gaps fall to zero, slowly at first; the information falls steeply to zero too.")
part = left["KL, error of variance 0.4"][30]
print(f"level 0.3: {part:.2f} of the KL is left, and of {information[0]:.2f} nats of information {information[30]:.2f}")

# %% [markdown]
# *Figure 3. Left, how the gap closes; right, what the picture still tells. Notice that both end at 0: with all the noise there
# is no gap, because there is nothing left to be wrong about. The level is a bargain, not a cure.*

# %% [markdown]
# ## Why the network is told the level
#
# Suppose that the network is trained at random levels and not told which. In the linear toy, with $\tilde y/\alpha_a = x + n +
# \sqrt{s}\,\varepsilon$ of variance $u = 1 + \nu + s$, a guess $w$ times that has the error $\mathbb{E}(x - w(x + n + \sqrt
# s\,\varepsilon))^2 = 1 - 2w + w^2u$. Told, one takes $w = 1/u$ for each level and is left with $1 - 1/u$. Untold, one $w$ must
# do for all levels: the mean error $1 - 2w + w^2\,\mathbb{E}u$ is smallest at $w = 1/\mathbb{E}u$. So not telling costs
#
# $$ \left(1 - \frac{1}{\mathbb{E}\,u}\right) - \mathbb{E}\left[1 - \frac1u\right] = \mathbb{E}\left[\frac1u\right] - \frac{1}{\mathbb{E}\,u} \;\ge\; 0 \tag{13.14} $$
#
# by Jensen's inequality (lesson 03), and 0 only where the level never changes. There is a second reason, and it is the greater
# one in practice: the level is what *we* turn when we draw. A network that was not told offers no knob.

# %% tags=["eq-13.14"]
u = 1.05 + torch.tensor([0.0, 0.4, 2.0], dtype=torch.float64)
price = (1 / u).mean() - 1 / u.mean()

# %%
y, g = x + 0.05**0.5 * n, torch.Generator().manual_seed(143)
copies = [y + s**0.5 * torch.randn(x.shape, generator=g, dtype=torch.float64) for s in (0.0, 0.4, 2.0)]
fitted = lambda seen, x: (x - seen * (seen @ x) / (seen @ seen)).square().mean()
told = torch.stack([fitted(seen, x) for seen in copies]).mean()
lesson.check("13.14", price, fitted(torch.cat(copies), x.repeat(3)) - told, 0.003)


# %% [markdown]
# ## When it pays
#
# Now the network's trust meets a drawn picture: $y' = x + n + e$ with a further error $e$ of variance $\tau^2$ that no training
# picture had. There are two ways to use the level.
#
# **Told, but nothing added.** We hand over $y'$ as it is and *say* that noise of variance $s$ is in it. The weight is $1/u$
# with $u = 1 + \nu + s$, and the error of the guess is
#
# $$ \mathbb{E}\left(x - \tfrac1u\, y'\right)^2 = \left(1 - \tfrac1u\right)^2 + \frac{\nu + \tau^2}{u^2} \tag{13.15} $$
#
# since $x$, $n$ and $e$ are independent. It is smallest at $u = 1 + \nu + \tau^2$, the best weight for what is really there. So
# $s = \tau^2$: say how wrong the picture is, and the network treats the error as noise.
#
# **Told and added**, as Imagen does in sampling. The variance $s/u^2$ of the new noise joins (13.15). With $\nu + s = u - 1$
# the sum becomes $1 - \frac2u + \frac{1}{u^2} + \frac{u - 1 + \tau^2}{u^2}$, that is
#
# $$ \mathbb{E}\left(x - \tfrac1u (y' + \sqrt{s}\,\varepsilon)\right)^2 = 1 - \frac1u + \frac{\tau^2}{u^2} \tag{13.16} $$
#
# Its slope in $u$ is $(u - 2\tau^2)/u^3$: downhill as long as $u < 2\tau^2$. We start at $u = 1 + \nu$, so adding noise pays
# only if $\tau^2 > \frac{1 + \nu}{2}$, and then up to $u = 2\tau^2$. With $\nu = 0.05$ the threshold is 0.525. The check draws
# the errors.

# %% tags=["eq-13.15"]
def told_only(s, tau2, nu=0.05):
    u = 1 + nu + s
    return (1 - 1 / u) ** 2 + (nu + tau2) / u**2


# %%
e, fresh = torch.randn(2, 1_000_000, generator=torch.Generator().manual_seed(144), dtype=torch.float64)
cases = [(s, tau2) for tau2 in (0.0, 0.4, 1.0) for s in (0.0, 0.4, 0.95)]
drawn_y = {tau2: y + tau2**0.5 * e for tau2 in (0.0, 0.4, 1.0)}
by_chance = [(x - drawn_y[tau2] / (1.05 + s)).square().mean() for s, tau2 in cases]
lesson.check("13.15", torch.tensor([told_only(*case) for case in cases]), torch.stack(by_chance), 0.006)


# %% [markdown]
# The same cases with the noise added, and then both rules over all levels.

# %% tags=["eq-13.16"]
def told_and_added(s, tau2, nu=0.05):
    u = 1 + nu + s
    return 1 - 1 / u + tau2 / u**2


# %%
by_chance = [(x - (drawn_y[tau2] + s**0.5 * fresh) / (1.05 + s)).square().mean() for s, tau2 in cases]
lesson.check("13.16", torch.tensor([told_and_added(*case) for case in cases]), torch.stack(by_chance), 0.006)

# %%
s = torch.linspace(0, 2, 201)
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.2), sharey=True)
for ax, rule, title in zip(axes, (told_only, told_and_added), ("told, nothing added", "told and added"), strict=True):
    lesson.curves(s, {f"error of variance {t}": rule(s, t) for t in (0.0, 0.4, 1.0)}, "variance s of the level", "", ax)
    ax.set(title=title, ylim=(0, 1))
axes[0].set_ylabel("mean squared error")
lesson.show(figure, alt="Error against level: told only, curves dip at the true error; added, only the largest dips.")
print(f"error 1: {told_and_added(0.0, 1.0):.3f} without, {told_and_added(0.95, 1.0):.3f} with the best level")
print(f"error 0.4: {told_and_added(0.0, 0.4):.3f} without, {told_and_added(0.4, 0.4):.3f} with s = 0.4")

# %% [markdown]
# *Figure 4. The two ways to use a level. Notice the middle curve: telling alone helps, adding harms. For the large error both
# help.*
#
# So question 2: only if the errors are large enough, in this toy. Why does anybody add noise, then? Because the toy's errors are
# Gaussian and independent of everything, *like the noise of training*. Errors of a drawn picture have structure: a wrong edge
# looks exactly like a right one. Then telling "there is noise" does nothing for a network that sees no noise. Adding noise really
# covers the small structures, the wrong ones with the right ones, and (13.10) promises that the two laws come nearer for *any*
# kind of error; whether the loss falls as well, only a measurement tells. The toy shows when it pays; it cannot show errors that
# are not Gaussian. The next section can.

# %% [markdown]
# ## Two small networks
#
# We enlarge handwritten digits from 4 × 4 to 8 × 8 pixels. The network sees the small picture and its level, and guesses the
# large one: that is what a super-resolution denoiser answers in its first step, when $z$ is still pure noise, and by (13.6) and
# the argument before it, it should be $\mathbb{E}[x \mid \tilde y]$.

# %%
with np.load(lesson.checkout("data", "digits.npz")) as file:
    order = np.random.default_rng(13).permutation(1797)
    digits = torch.from_numpy(file["images"][order]).float()[:, None] / 8 - 1
known, hidden = digits[:1500], digits[1500:]
known_small, hidden_small = pixels.resize(known, 4), pixels.resize(hidden, 4)


# %%
class Enlarger(nn.Module):
    def __init__(self, told=True):
        super().__init__()
        self.told, self.first, self.second, self.last = told, nn.Linear(16, 128), nn.Linear(128, 128), nn.Linear(128, 64)
        self.gates = nn.ModuleList([nn.Linear(2, 128), nn.Linear(2, 128)])

    def forward(self, below):
        level = torch.cat(noise.alpha_sigma(below.logsnr, 2), 1) * self.told
        h = F.silu(self.first(below.image.flatten(1)) * (1 + self.gates[0](level)))
        h = F.silu(self.second(h) * (1 + self.gates[1](level)))
        return self.last(h).reshape(-1, 1, 8, 8)


# %% [markdown]
# Training differs in one number: the largest level that it meets. `most = 0` is a network that only ever saw real small
# pictures; `most = 1` is noise conditioning augmentation as in the paper.

# %%
def learn(most, told=True, steps=2000, rate=4e-3):
    g = torch.Generator().manual_seed(133)
    torch.manual_seed(13)  # the first weights
    network = Enlarger(told)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, fused=True)
    for i in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - i / steps)
        rows = torch.randint(1500, (128,), generator=g)
        noisy, logsnr = augment(known_small[rows], most * torch.rand(128, generator=g), torch.randn(128, 1, 4, 4, generator=g))
        loss = (network(LowRes(noisy, logsnr)) - known[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


never, always = learn(0.0), learn(1.0)


# %% [markdown]
# To the small pictures of unseen digits we add errors as a stage below might make them: smooth ones, the same for each block of
# 2 × 2 pixels, of deviation $\tau$. No network has seen such errors. `error` gives the mean squared error of the enlargements
# when we sample with level `a`.

# %%
def spoil(tau):
    blocks = torch.randn(297, 1, 2, 2, generator=torch.Generator().manual_seed(134))
    return hidden_small + tau * blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)


def enlarged(network, tau, a):
    eps = torch.randn(297, 1, 4, 4, generator=torch.Generator().manual_seed(135))
    return network(LowRes(*augment(spoil(tau), torch.full((297,), a), eps)))


def error(network, tau, a):
    return (enlarged(network, tau, a) - hidden).square().mean().item()


# %%
taus, levels = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0]
figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
best = [min(error(always, tau, a) for a in levels) for tau in taus]
first, second = ([error(network, tau, 0.0) for tau in taus] for network in (never, always))
lines = {"never augmented": first, "augmented, level 0": second, "augmented, best level": best}
lesson.curves(taus, lines, "deviation of the errors", "mean squared error", axes[0])
lines = {f"errors {tau}": [error(always, tau, a) for a in levels] for tau in (0.0, 0.3, 0.6)}
lesson.curves(levels, lines, "level in sampling", "mean squared error", axes[1])
axes[0].set_ylim(0, 1)
axes[1].set_title("augmented network")
lesson.show(figure, alt="The never augmented network's error climbs far above the rest; the best level grows with errors.")
blind = (hidden - known.mean(0)).square().mean().item()
print(f"who sees nothing and answers the mean digit has the error {blind:.2f}")

# %% [markdown]
# *Figure 5. Left: error against how spoiled the small picture is. Right: the augmented network against the level in sampling.
# Notice how the first curve leaves the picture, while the augmented network at its best level never gets worse than somebody who sees nothing (0.29); left at level 0 it does so beyond errors of about 0.4. The curves cross where the errors have a deviation of about 0.1. Notice also on the right that clean pictures want
# level 0, and spoiled ones more.*

# %%
claims = {
    "perfect small pictures: the never augmented network is the better one": error(never, 0, 0.0) < error(always, 0, 0.0),
    "errors of 0.3: its loss is more than 8 times that on perfect ones": error(never, 0.3, 0.0) > 8 * error(never, 0, 0.0),
    "errors of 0.3: worse than answering the mean digit": error(never, 0.3, 0.0) > blind,
    "augmented, best level: never worse than seeing nothing": max(best) < blind,
    "errors of 0.3: the augmented network loses less than half of that": error(always, 0.3, 0.0) < 0.5 * error(never, 0.3, 0.0),
    "errors of 0.3: level 0.1 is better than level 0": error(always, 0.3, 0.1) < error(always, 0.3, 0.0),
    "errors of 0.6: level 0.4 saves a third or more": error(always, 0.6, 0.4) < 0.67 * error(always, 0.6, 0.0),
    "perfect small pictures: every level costs": error(always, 0, 0.0) < error(always, 0, 0.1) < error(always, 0, 0.3),
}
for sentence, holds in claims.items():
    assert holds
    print("✓", sentence)

# %% [markdown]
# The gap, and its closing, measured. And the forgetting: at level 1 the augmented network must give every digit the same
# answer, the mean digit.

# %%
spread = lambda pictures: pictures.var(0).mean().item()
assert spread(enlarged(always, 0, 1.0)) < 0.05 * spread(hidden)
lesson.check("level 1 is as good as blind", error(always, 0, 1.0), blind, 0.02)
cases = [(never, 0, 0.0), (never, 0.4, 0.0), (always, 0.4, 0.2), (always, 0, 1.0)]
rows = torch.stack([hidden[:8], F.interpolate(spoil(0.4)[:8], 8), *(enlarged(*case)[:8] for case in cases)])
names = ["truth", "spoiled", "never,\nperfect", "never,\nspoiled", "always,\nspoiled", "always,\nlevel 1"]
figure = lesson.strip(rows, rows=names, side=0.75)
lesson.show(figure, alt="Digits in rows: truth, spoiled blocks, good, broken, blurred but fair, and eight equal means.")

# %% [markdown]
# *Figure 6. Eight unseen digits: the truth, what is handed over, and four answers. Notice the fourth row: the network that
# never met an error turns it into strokes that do not exist. The fifth is blurred where it is in doubt, and the last has
# forgotten everything.*

# %% [markdown]
# ## The shipped network
#
# `sr256` was trained at levels from 0 to 0.3, not to 1: a network of 1.4 million numbers has no room to learn how to invent
# whole pages. (The paper's goes to 1.) Here it is at more and more noise, on a perfect and on a spoiled page.

# %%
shown = [0.0, 0.1, 0.3, 0.5, 1.0]
one = slice(3, 4)
perfect, shaky = (torch.cat([enlarge(below[one], a, one) for a in shown]) for below in (small, spoiled))
rows = torch.stack([(4 * pixels.resize(x, 96)).round() / 4 for x in (perfect, shaky)])  # fewer tones make a smaller file
figure = lesson.strip(rows, [f"level {a}" for a in shown], ["perfect", "spoiled"], 1.0)
lesson.show(figure, alt="A shape at five levels: clear up to 0.3, ragged at 0.5, and at 1 coloured patches only.")
reached, held = psnr(perfect, pages[one]), psnr(shaky, pages[one])
claims = {
    "perfect page: level 1 is at least 15 dB below level 0.1": reached[4] < reached[1] - 15,
    "spoiled page, level 0.1: over 5 dB better than bicubic": held[1] > psnr(pixels.resize(spoiled[one], 256), pages[one]) + 5,
}
for sentence, holds in claims.items():
    assert holds
    print("✓", sentence)

# %% [markdown]
# *Figure 7. One page at five levels. Notice the right column: with the small picture gone, the network invents ink everywhere,
# and the same for both rows, since the random numbers are the same. It was never trained there, so do not take that for a good
# unconditional model. Up to 0.3 the shape keeps its place; its edge wanders as the noise hides it.*
#
# One page proves little. The file `docs/evaluation/augmentation.json` holds 24 held-out pages at seven levels, with the
# command, the weights' sha256 and the machine that made it. We draw it, and first recompute one of its points.

# %%
measured = json.loads(lesson.checkout("docs", "evaluation", "augmentation.json").read_text())
sweep = {(p["given"], p["level"]): p for p in measured["points"]}
for name, digest in measured["weights"].items():
    own = lesson.checkout("data", "weights", name, "weights.safetensors").read_bytes()
    assert hashlib.sha256(own).hexdigest() == digest, "run docs/evaluation/augmentation.py again"
stage = replace(sr256, steps=measured["steps"]["sr256"], aug_level=0.1)
*_, again = stage.run(text, small, [seeded(i, 1) for i in range(4)])
lesson.check("the point clean, 0.1", psnr(again.x0, pages), torch.tensor(sweep["clean", 0.1]["psnr of the first"]), 0.1)

# %%
figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.3))
swept = sorted({level for _, level in sweep if level is not None and level <= 0.5})
marks = {"psnr": "PSNR (dB)", "right": "share that shows its caption", "edge": "edge width (pixels)"}
for ax, (key, words) in zip(axes, marks.items(), strict=True):
    for name in ("clean", "blotched", "drawn"):
        if key in sweep[name, 0.1]:
            value, low, high = (np.array([sweep[name, a][key][part] for a in swept]) for part in ("value", "low", "high"))
            ax.errorbar(swept, value, [value - low, high - value], capsize=3, label=name)
    ax.set(xlabel="level in sampling", ylabel=words)
axes[2].legend()
lesson.show(figure, alt="Against the level: PSNR falls beyond 0.05, the share of right pages from 0.5, edges stay sharp.")
bicubic = sweep["clean", None]
print(f"bicubic on clean pages: {bicubic['psnr']['value']:.1f} dB, edges {bicubic['edge']['value']:.1f} pixels wide")
best = {name: max(swept, key=lambda a: sweep[name, a]["psnr"]["value"]) for name in ("clean", "blotched")}
assert max(best.values()) <= 0.05
assert all(sweep["clean", a]["right"]["value"] == 1 for a in swept[:5])
assert sweep["clean", 0.5]["right"]["value"] < 0.2
assert all(sweep["drawn", a]["right"]["value"] >= sweep["drawn", None]["right"]["value"] - 0.05 for a in swept[:5])
assert max(sweep[name, a]["edge"]["value"] for name, a in sweep if a in swept) < 0.5 * bicubic["edge"]["value"]

# %% [markdown]
# *Figure 8. The sweep, with intervals that hold 95 % over pages. Notice the left panel: both curves are highest at level 0 or 0.05
# and fall from 0.1 on. The edges stay two pixels wide at every level; what noise costs is where they lie.*
#
# Read it soberly. Between 0 and 0.1 the differences are small beside the intervals. At 0.5, where the network was not trained,
# hardly one clean page shows its caption. On perfect pages it gains one to two decibels on bicubic, in spite of (13.8),
# since drawings have hardly any detail to guess; on blotched ones eleven or twelve. And what the base draws (the line called
# drawn) is no worse for the enlargement: what is missing there was missing at 64 pixels. The paper found level 0 best for its
# Fréchet distance and 0.1 to 0.3 best to look at. There is no level for all purposes; that is why it is a knob. (`sr256` is set
# to 0.1, on the safe side of its optimum.)
#
# One more thing, in the middle panel: of the blotched pages a quarter are no longer what they were. Before this network had seen
# emoji, whose faces and fruit are shaded, it wiped nearly every blotch off: on flat shapes there are none. Now some blotches might
# be meant. What a network repairs is what its training never showed.

# %% [markdown]
# ## Trained on crops, used on pages
#
# `sr256` has never seen a whole page of 256 pixels: it was trained on windows of 128 × 128, shrunk to 32 × 32. (The paper does
# the same for its last network, 64 → 256 windows.) Why may it be used on whole pages? Because a convolution is *local* and the
# *same everywhere*. Let a network be a chain of convolutions with odd windows of $k_i$ pixels and no stride. Each layer looks
# $(k_i - 1)/2$ pixels further to each side, so a pixel of the output depends on no pixel further away than
#
# $$ \varrho = \sum_i \frac{k_i - 1}{2} \qquad\Longrightarrow\qquad f(x)_p = f(x_W)_p \ \text{ for every pixel } p \text{ at least } \varrho \text{ inside the window } W \tag{13.17} $$
#
# with $x_W$ the crop. (With strides, weigh each term by the pixels between neighbours at that layer, as in lesson 05, and let
# windows begin at multiples of the total stride.) Nearer to the border the crop meets zeros where the page goes on. The check
# is exact, not approximate: with whole numbers as weights and pixels every sum is exact in double precision, so the interior
# must be *equal*, and one pixel further out it must not be.

# %% tags=["eq-13.17"]
g = torch.Generator().manual_seed(136)
whole_numbers = lambda *shape: torch.randint(-2, 3, shape, generator=g).double()
filters = [(whole_numbers(4, 3, 5, 5)), (whole_numbers(4, 4, 3, 3)), (whole_numbers(3, 4, 3, 3))]
reach = sum((w.shape[-1] - 1) // 2 for w in filters)


def network(x):
    for w in filters:
        x = F.conv2d(x, w, padding=w.shape[-1] // 2).relu()
    return x


# %%
page = torch.randint(0, 256, (1, 3, 48, 48), generator=torch.Generator().manual_seed(148)).double()
differs = (network(page)[..., 8:40, 8:40] != network(page[..., 8:40, 8:40])).any(1)[0]
inside = [not differs[m : 32 - m, m : 32 - m].any() for m in range(8)]
lesson.check("13.17", float(reach), inside.index(True), 1e-9)


# %% [markdown]
# That also shows how to enlarge a picture that does not fit into memory: tile it, give each tile a **margin** of $\varrho$
# pixels on every side, and throw the margins away.

# %%
def tiled(f, x, tile, margin):
    out = torch.empty_like(x)
    for i in range(0, x.shape[-1], tile):
        for j in range(0, x.shape[-1], tile):
            top, left = max(0, i - margin), max(0, j - margin)
            part = f(x[..., top : i + tile + margin, left : j + tile + margin])
            out[..., i : i + tile, j : j + tile] = part[..., i - top : i - top + tile, j - left : j - left + tile]
    return out


print("margin", reach, "equal everywhere:", torch.equal(tiled(network, page, 16, reach), network(page)))
print("margin", reach - 1, "equal everywhere:", torch.equal(tiled(network, page, 16, reach - 1), network(page)))

# %% [markdown]
# Now the honest part. `sr256` is *not* such a chain. Its group normalisation divides by a mean over the whole picture, and its
# attention to the text adds waves that say where on the page a pixel lies (lesson 05). So no margin makes the crop exactly
# equal. How much does it matter? One denoising step at log-SNR 0, on the page and on a window of it; the inner quarter of the
# window is compared.

# %%
logsnr, level = torch.zeros(1), torch.full((1,), 5.0)
z = noise.diffuse(pages[:1], logsnr, noise.randn(pages[:1].shape, torch.Generator().manual_seed(137)))
with torch.no_grad():
    whole = sr256.denoiser(z, logsnr, Cond(text[:1], LowRes(small[:1], level))).x0
    crop = sr256.denoiser(z[..., 64:192, 64:192], logsnr, Cond(text[:1], LowRes(small[:1, :, 16:48, 16:48], level))).x0
off = (whole[..., 96:160, 96:160] - crop[..., 32:96, 32:96]).abs().mean().item()
moved = (whole - pages[:1])[..., 96:160, 96:160].abs().mean().item()
assert 0.4 < off / moved < 0.6
print("the crop's inside is off by less than 0.02 on a scale from -1 to 1:", off < 0.02)
print("and nearer to the page's answer than that is to the truth:", off < moved)

# %% [markdown]
# Not 0, and about half as much as this step is from the truth. It works because the network met all kinds of crops and had
# to live with the statistics of each. The paper drops self-attention from its last network, the one that is trained on crops.
# That helps twice: a picture of 1024 pixels is too large to look at itself, and a crop then behaves more like the page.

# %% [markdown]
# ### What a group of one channel forgets
#
# That mean over the picture has a second consequence, and a small network feels it. A page of one colour is *flat*: channel $k$ is the
# same number $c_k$ in every place. Group normalisation (lesson 05) takes the mean $m$ and the variance $s^2$ over a group $G$, that
# is over its places and its channels, and over places there is nothing to average. With $\epsilon$ for the small number that keeps
# the root away from 0,
#
# $$ \operatorname{norm}(x)_k = \frac{c_k - m}{\sqrt{s^2 + \epsilon}}, \qquad m = \frac{1}{|G|}\sum_{j \in G} c_j, \quad s^2 = \frac{1}{|G|}\sum_{j \in G} (c_j - m)^2 \tag{13.18} $$
#
# If $G$ holds channel $k$ alone, then $m = c_k$, and the answer is 0 *whatever the colour was*. What differs between the channels
# of a larger group is kept, up to one scale.

# %% tags=["eq-13.18"]
red, blue = (torch.randn(8, generator=torch.Generator().manual_seed(seed)).double() for seed in (138, 139))
flat = lambda c: c[None, :, None, None].expand(1, 8, 5, 5)


def by_formula(c, groups):
    parts = c.reshape(groups, -1)
    m = parts.mean(1, keepdim=True)
    return ((parts - m) / ((parts - m).square().mean(1, keepdim=True) + 1e-5).sqrt()).flatten()


for groups in (1, 2, 4, 8):
    lesson.check("13.18", by_formula(red, groups), F.group_norm(flat(red), groups)[0, :, 2, 2], 1e-9)
print("eight groups of one channel tell red from blue:", not torch.equal(by_formula(red, 8), by_formula(blue, 8)))
print("two groups of four channels do:", not torch.equal(by_formula(red, 2), by_formula(blue, 2)))

# %% [markdown]
# Imagen's networks have 32 groups in levels of 128 channels and more. The finest level of `sr256` has 32 channels. With 32 groups, each
# of them alone, its last layer cannot know the colour of a flat window; on a page it has to guess it from how large the coloured part
# is. So it has two groups (`UNetConfig(groups=2)`). Here is what it makes of flat windows in four inks.

# %%
inks = torch.tensor([[220, 38, 38], [37, 99, 235], [22, 163, 74], [128, 128, 128]]) / 127.5 - 1
windows = inks[:, :, None, None].expand(-1, 3, 32, 32)
*_, painted = replace(sr256, size=128, steps=8).run(text, windows, [seeded(i, 1) for i in range(4)])
astray = (painted.x0 - inks[:, :, None, None])[..., 16:112, 16:112].abs().mean((1, 2, 3))
print("mean distance from the ink, of 2 in all:", [f"{value:.2f}" for value in astray.tolist()])

# %% [markdown]
# ## A photograph
#
# Matplotlib brings a portrait of the computer scientist Grace Hopper (US Navy, in the public domain). We cut out a square,
# shrink it to 256 pixels for the truth and to 64 for the task.

# %%
pixel = plt.imread(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg"))[30:350, 110:430]
photo = pixels.resize(pixels.from_uint8(torch.from_numpy(pixel.copy()).permute(2, 0, 1))[None], 256).clamp(-1, 1)
photo_small = pixels.resize(photo, 64)
*_, last = replace(sr256, steps=8, aug_level=0.1).run(None, photo_small, seeded(0, 1))  # without a sentence
smooth = pixels.resize(photo_small, 256)

# %%
views = torch.cat([F.interpolate(photo_small, 256), smooth, last.x0, photo])
figure = lesson.strip(pixels.resize(views, 128), ["64 pixels", "bicubic", "sr256", "truth"], side=1.3)
lesson.show(figure, alt="A portrait: coarse, smoothly enlarged, made a rough painting by sr256, and the original.")
decibels = [psnr(x, photo).item() for x in (smooth, last.x0)]
print(f"PSNR: bicubic {decibels[0]:.0f} dB, sr256 {decibels[1]:.0f} dB")
assert 3 < decibels[0] - decibels[1] < 4.5


# %% [markdown]
# *Figure 9. The photograph. Notice that `sr256` makes a painting of it: skin and wall become patches of colour, and fine lines break.
# Its edges are sharp, and they are not hers.*
#
# Bicubic wins by three or four decibels: the squared error of `sr256` is more than twice as large. That is question 3. Nothing is
# broken. The network draws a sample of $p(x_{256} \mid \tilde y)$ under the law that it knows, and in that law there are drawings:
# flat shapes and emoji on white paper. A photograph has no place there, and its tender greys are taken for an error of the stage below, which
# augmentation has taught it to repair. **A super-resolution network does not find details; it invents those of its training
# set.** On real people that is a reason for care: what such a network draws is not evidence. Train on photographs (`minimagen
# train sr256 --data your-folder`) if photographs are what you want.

# %% [markdown]
# ## Move it yourself
#
# Two knobs: the level in sampling, and the deviation of the smooth errors in the small picture. Above works `sr256` on the
# middle of a page, below the two digit networks. We call the function once here, and check what it says.

# %%
def view(a, tau):
    blocks = F.interpolate(tau * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(130)), 64, mode="bicubic")
    below = (small[:1] + blocks)[..., 16:48, 16:48]
    *_, last = replace(sr256, size=128, steps=4, aug_level=a).run(text[:1], below, seeded(0, 1))
    noisy, _ = augment(below, torch.tensor([a]), torch.randn(below.shape, generator=torch.Generator().manual_seed(1)))
    top = [below[0], noisy[0], last.x0[0], pages[0, :, 64:192, 64:192]]
    digit = [spoil(tau)[4], enlarged(never, tau, 0.0)[4], enlarged(always, tau, a)[4], hidden[4]]
    return top, digit


# %%
def draw(a, tau):
    figure, axes = plt.subplots(2, 4, figsize=(7.4, 4.2))
    words = f"handed over|noise of level {a}|sr256|the page", "handed over|never augmented|augmented|the digit"
    for row, pictures, titles in zip(axes, view(a, tau), [line.split("|") for line in words], strict=True):
        for ax, picture, title in zip(row, pictures, titles, strict=True):
            ax.imshow(pixels.to_uint8(picture).expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
            ax.set(xticks=[], yticks=[], title=title)
    return figure


plt.close(draw(0.1, 0.2))
top, digit = view(0.1, 0.2)
assert psnr(top[2][None], top[3][None]) > psnr(pixels.resize(top[0][None], 128), top[3][None])
print("sr256 is nearer to the page than bicubic:", True)

# %% tags=["widget", "nbval-ignore-output"]
lesson.explore(
    draw,
    alt="A spoiled part of a page with noise, what sr256 makes of it, and the page; below a digit by both networks.",
    a=ipywidgets.FloatSlider(value=0.1, min=0, max=0.6, step=0.05, description="level"),
    tau=ipywidgets.FloatSlider(value=0.2, min=0, max=0.6, step=0.1, description="errors"),
)


# %% [markdown]
# Set the errors to 0.6 and find the level that you like best, above and below. Then set them to 0 and see what that level
# costs.

# %% [markdown]
# ## Now the library
#
# `superres.lowres` is (13.4) and (13.9): shrink, then noise, one function for training and sampling, so that the two cannot
# drift apart. `superres.with_lowres` is training's side: it wraps a stream of batches and draws a level for each picture.

# %%
def assert_close(mine, library):
    torch.testing.assert_close(mine, library, rtol=0, atol=1e-5)


levels = torch.tensor([0.0, 0.1, 0.3, 1.0])
eps = noise.randn((4, 3, 64, 64), torch.Generator().manual_seed(138))
mine, logsnr = augment((R @ pages.double() @ R.T).float(), levels, eps)
library = superres.lowres(pages, 64, levels, noise.cosine, torch.Generator().manual_seed(138))
assert_close(mine, library.image)
assert_close(logsnr, library.logsnr)

# %%
stream = superres.with_lowres(iter([(pages, Cond(text))]), 64, noise.cosine, torch.Generator().manual_seed(139), most=0.3)
x0, cond = next(stream)
assert x0 is pages
assert cond.text is text
assert bool((cond.lowres.logsnr >= noise.cosine(torch.tensor(0.3))).all())
sampled = superres.lowres(small, 64, levels, noise.cosine, torch.Generator().manual_seed(138))
assert_close(library.image, sampled.image)
print("training shrinks a page, sampling takes the small picture as it is; given the same noise, the network sees the same")


# %% [markdown]
# ## Exercises
#
# Four, in the order of the lesson. The first two use only what you have seen; the last two ask for a step more.

# %% [markdown]
# ### Exercise 13.1 · Augment what is already noisy (2 points, 8 minutes)
#
# A small picture comes from a scanner that has added white noise of variance $\tau^2$ already: $y' = y + \tau\varepsilon'$.
# Bring it *exactly* to level $a$, that is to the law (13.9) of the clean $y$, by adding as much noise as is still missing.
# Write `top_up(picture, level, tau2, eps)`: picture (B, 3, h, h), level (B,) times of the cosine schedule, tau2 one number, eps
# like the picture, standard normal. Return the noisy picture and its log-SNR (B,). No level is asked for at which there is
# already too much noise. Call `noise.cosine` and `noise.alpha_sigma(logsnr, 4)`.
#
# <details><summary>Hint 1: the idea</summary>
#
# The picture is multiplied by $\alpha$, and with it the noise that it holds. Variances of independent noises add.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $\alpha^2\tau^2 + (\text{new variance}) = \sigma^2$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# `logsnr = ...`, `alpha, sigma = ...`, then `return alpha * picture + (...) ** 0.5 * eps, logsnr`.
# </details>

# %% tags=["answer-13.1"]
def top_up(picture, level, tau2, eps):
    """picture, eps (B, 3, h, h), level (B,), tau2 a number -> noisy picture of the level, logsnr (B,)."""
    ### BEGIN SOLUTION
    logsnr = noise.cosine(level)
    alpha, sigma = noise.alpha_sigma(logsnr, 4)
    return alpha * picture + (sigma**2 - alpha**2 * tau2) ** 0.5 * eps, logsnr
    ### END SOLUTION


# %% tags=["grade-13.1"]
checks.ex_13_1(top_up)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# With $\tau^2 = 0$ it is the augmentation itself. With the missing noise only, a picture that is known to be noisy is brought
# to a level without being noised twice: (13.15) and (13.16) meet in the middle. If you know how wrong your small pictures are,
# this is how to tell the network.
# </details>

# %% [markdown]
# ### Exercise 13.2 · PSNR as a screen shows it (2 points, 5 minutes)
#
# A sampler's pictures may leave $[-1, 1]$ a little; a screen cuts them off. Write `decibels_of(pictures, truth)`: both (B, C,
# H, W), the truth within $[-1, 1]$. Cut the pictures off, and return the PSNR (13.7) of each picture, (B,).
#
# <details><summary>Hint 1: the idea</summary>
#
# The peak is the largest difference of two values that a screen can show.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $10\log_{10}(2^2/\text{MSE})$, one MSE a picture.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# Clamp, subtract, square, mean over everything but the batch, logarithm to base 10.
# </details>

# %% tags=["answer-13.2"]
def decibels_of(pictures, truth):
    """pictures, truth (B, C, H, W) -> (B,) PSNR in decibels."""
    ### BEGIN SOLUTION
    mse = (pictures.clamp(-1, 1) - truth).square().mean((1, 2, 3))
    return 10 * torch.log10(4 / mse)
    ### END SOLUTION


# %% tags=["grade-13.2"]
checks.ex_13_2(decibels_of)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# Half of the surprising PSNRs in the world have the wrong peak: 1 in the place of 2 costs 6.02 dB, for nothing. And the mean of
# PSNRs is not the PSNR of the mean error: say which you print.
# </details>

# %% [markdown]
# ### Exercise 13.3 · The nearest picture that agrees (3 points, 12 minutes)
#
# A network has drawn $x$, but shrunk again it is not quite the small picture: $Rx \ne y$. Write `agree(x, y, R)`: signals x (B,
# N), small signals y (B, n), matrix R (n, N) of rank n. Return the signals (B, N) that are *nearest* to x, in squared distance,
# among all whose small copy is exactly y.
#
# <details><summary>Hint 1: the idea</summary>
#
# To get from $x$ to the set $\{x' : Rx' = y\}$ by the shortest way, walk at a right angle to it. Moves along the set are those
# with $R\,d = 0$; what is orthogonal to all of them is a combination of the rows of $R$.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $x' = x + R^\top c$ with $R(x + R^\top c) = y$. Solve for $c$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# `c = torch.linalg.solve(R @ R.T, ...)`. Batches are rows here, so transpose before and after.
# </details>

# %% tags=["answer-13.3"]
def agree(x, y, R):
    """x (B, N), y (B, n), R (n, N) -> the nearest signals (B, N) whose small copies are y."""
    ### BEGIN SOLUTION
    c = torch.linalg.solve(R @ R.T, (y - x @ R.T).T)
    return x + c.T @ R
    ### END SOLUTION


# %% tags=["grade-13.3"]
checks.ex_13_3(agree)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# This is a projection. Applied to each $\hat x_0$ while sampling, it forces any generator to agree with the small picture,
# without training: a cheap rival of super-resolution networks (ILVR, Choi and others 2021, does a version of it). But mind what
# it asks for: perfect agreement with a picture that may be wrong. It is level 0, cast in stone.
# </details>

# %% [markdown]
# ### Exercise 13.4 · The level that pays (3 points, 12 minutes)
#
# In the toy of (13.16), noise of variance $s = e^{-\lambda}$ is added and told. Write `best_level(tau2, nu)`: tau2 (B,) the
# variances of the further errors, nu one number. Return the augmentation level (B,), a time in $[0, 1]$ of the cosine schedule,
# with the smallest error. Where no noise is best, that is level 0. The schedule is $\lambda(t) = -2\log\tan(l + t\,(h - l))$
# with $l = \arctan e^{-10}$ and $h = \arctan e^{10}$; `math` is imported.
#
# <details><summary>Hint 1: the idea</summary>
#
# Find the best $u$, from it $s$, from it the angle, from it the time.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $u = 2\tau^2$ if that is more than $1 + \nu$; $s = u - 1 - \nu$; and $e^{-\lambda} = \tan^2(\cdot) = s$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# `s = (...).clamp(min=0)`, `angle = s.sqrt().atan()`, then solve for t, and clamp once more: at $s = 0$ the angle lies a little
# below $l$.
# </details>

# %% tags=["answer-13.4"]
def best_level(tau2, nu):
    """tau2 (B,), nu a number -> the levels (B,) in [0, 1] at which the error (13.16) is smallest."""
    ### BEGIN SOLUTION
    low, high = math.atan(math.exp(-10)), math.atan(math.exp(10))
    s = (2 * tau2 - 1 - nu).clamp(min=0)
    return ((s.sqrt().atan() - low) / (high - low)).clamp(min=0)
    ### END SOLUTION


# %% tags=["grade-13.4"]
checks.ex_13_4(best_level)

# %% [markdown]
# <details><summary>Why this matters</summary>
#
# Read as times of this schedule, which is how we read them, the levels 0.1 to 0.3 that the paper recommends for sampling are, as
# variances relative to the picture, $\tan^2(0.1\cdot\pi/2) = 0.025$ and $\tan^2(0.3\cdot\pi/2) = 0.26$. Small numbers: a drawn
# picture is mostly right. </details>

# %% [markdown]
# ## What breaks if the network is not told the level?
#
# The same network and training as `always`, at all levels, but blind for the level.

# %%
untold = learn(1.0, told=False)


def say(network, tau, a):
    alpha, _ = noise.alpha_sigma(noise.cosine(torch.full((297,), a)), 4)
    return (network(LowRes(alpha * spoil(tau), noise.cosine(torch.full((297,), a)))) - hidden).square().mean().item()


levels = np.linspace(0.025, 0.975, 20)
over_all = [np.mean([error(net, 0, a) for a in levels]) for net in (always, untold)]

# %%
trusted, doubted = ([say(network, 0.3, a) for network in (always, untold)] for a in (0.0, 0.15))
claims = {
    "perfect small pictures: it loses over 5 % more than the told one": error(untold, 0, 0.0) > 1.05 * error(always, 0, 0.0),
    "over all levels, on unseen digits, being told is better": over_all[0] < over_all[1],
    "saying level 0.15 for errors of 0.3, adding nothing, helps the told one by a tenth": doubted[0] < 0.9 * trusted[0],
    "and leaves the untold one within 5 % of where it was": abs(doubted[1] / trusted[1] - 1) < 0.05,
    "which is where the told one comes to with that word": abs(doubted[0] / trusted[1] - 1) < 0.1,
}
for sentence, holds in claims.items():
    assert holds
    print("✓", sentence)

# %% [markdown]
# As (13.14) says, not telling costs, most of all where the picture is perfect. It costs less than in the linear toy, because
# this network is not linear: 16 numbers let it guess how noisy they are, and with thousands of pixels it could tell the level
# nearly exactly. Be fair to it: on the spoiled digits it does by itself what the told one does only with the right word. But
# those errors *look* like noise. Where they do not, as with a crooked edge that somebody drew, the picture itself gives no
# warning, and only we can say "do not trust it". The told network can be told so. The untold one decides by itself, and we
# cannot argue.

# %% [markdown]
# ## The proof
#
# The toy of the first page, once more without any formula. A million examples $x$ with perfect copies $y = x + n$. For each
# level a weight is *learned* by least squares, from perfect copies with noise of that level. Then it is tried on copies with a
# further error of variance 0.4: as they are, and with noise added.

# %% tags=["wow"]
g = torch.Generator().manual_seed(140)
normal = lambda: torch.randn(1_000_000, generator=g, dtype=torch.float64)
truth = normal()
perfect = truth + 0.05**0.5 * normal()
worse = {tau2: perfect + tau2**0.5 * normal() for tau2 in (0.4, 1.0)}


def loss(trained, tried, s, added=True):
    seen = trained + s**0.5 * normal()
    weight = (seen @ truth) / (seen @ seen)
    return (truth - weight * (tried + added * s**0.5 * normal())).square().mean()


named = {
    "trained on perfect copies, tried on them": loss(perfect, perfect, 0.0),
    "tried on drawn ones, error 0.4": loss(perfect, worse[0.4], 0.0),
    "trained with noise 0.4 and told so, tried on drawn ones": loss(perfect, worse[0.4], 0.4, added=False),
    "the same, tried on perfect ones": loss(perfect, perfect, 0.4, added=False),
    "noise 0.4 added in use as well": loss(perfect, worse[0.4], 0.4),
    "error 1, nothing added": loss(perfect, worse[1.0], 0.0),
    "error 1, noise 0.95 in training and in use": loss(perfect, worse[1.0], 0.95),
}
expected = [0.048, 0.410, 0.310, 0.120, 0.501, 0.955, 0.750]
lesson.check("proof", torch.stack(list(named.values())), torch.tensor(expected), 0.005)
for words, number in zip(named, expected, strict=True):
    print(f"{number:.3f} {words}")

# %% [markdown]
# Every number of the first page, found by fitting and trying, and by (13.15) and (13.16) before. Question 1: from 0.048 to
# 0.410, more than eight times.

# %% [markdown]
# ## Recap
#
# ### Equation card
#
# | what | formula | in the library |
# |---|---|---|
# | the chain (13.1), (13.2) | $p(x_{64})\,p(x_{256} \mid x_{64})\,p(x_{1024} \mid x_{256})$, exact where $x_{64}$ is made from $x_{256}$ | `cascade.cascade` |
# | aliasing (13.3) | $f$ and $f - m/r$ give the same samples | – |
# | shrinking (13.4), its adjoint (13.5) | $y = RxR^\top$, $\;\nabla\tfrac12\|Rx - y\|^2 = R^\top(Rx - y)$ | `pixels.resize` |
# | the network's answer (13.6) | $\mathbb{E}[x_0 \mid z, y]$ | `Denoiser(net)(z, logsnr, cond)` |
# | PSNR (13.7), its trap (13.8) | $10\log_{10}(4/\text{MSE})$; a perfect sample has 3.01 dB less than a perfect blur | – |
# | augmentation (13.9) | $q(\tilde y \mid y, a) = \mathcal{N}(\alpha_a y, \sigma_a^2 I)$, and $\lambda_a$ is told | `superres.lowres` |
# | the gap (13.10)–(13.12) | never grows under noise; $\tfrac12(\rho - 1 - \log\rho)$; $2\Phi(\cdot) - 1$ | – |
# | what is left (13.13) | $\tfrac12\log(1 + 1/(\nu + e^{-\lambda_a}))$ nats; 0 at $a = 1$ | – |
# | the price of not telling (13.14) | $\mathbb{E}[1/u] - 1/\mathbb{E}u$ | – |
# | when it pays (13.15), (13.16) | told: $s = \tau^2$; told and added: $u = 2\tau^2$, if that is more than $1 + \nu$ | – |
# | crops (13.17) | equal from $\varrho = \sum (k_i - 1)/2$ pixels inside | `data.crops` |
# | normalising a flat page (13.18) | $(c_k - m)/\sqrt{s^2 + \epsilon}$ over the group: 0 if it is one channel | `layers.norm` |
#
# Two departures from the paper. Imagen trains at levels up to 1, `sr256` up to 0.3. And Imagen guides its super-resolution
# networks strongly, with $w = 8$; ours are not guided, since their drawings leave little to decide.
#
# ### New words
#
# [super-resolution](GLOSSARY.md#s) · [conditional information](GLOSSARY.md#c) · [aliasing](GLOSSARY.md#a) ·
# [antialiasing](GLOSSARY.md#a) · [adjoint](GLOSSARY.md#a) · [peak signal-to-noise ratio](GLOSSARY.md#p) ·
# [total variation](GLOSSARY.md#t) · [noise conditioning augmentation](GLOSSARY.md#n) · [augmentation level](GLOSSARY.md#a) ·
# [data processing inequality](GLOSSARY.md#d) · [margin](GLOSSARY.md#m)
#
# ### References
#
# - Ho and others 2022, *Cascaded Diffusion Models for High Fidelity Image Generation*, sections 2 and 3: the chain, and
#   augmentation of the small picture.
# - Saharia and others 2022, *Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding* (Imagen), section
#   2.4, appendix D.2 and figures A.11 and A.32: the level random in training, told, and chosen in sampling; section 2.5: crops,
#   and no self-attention in the last network.
# - Saharia and others 2021, *Image Super-Resolution via Iterative Refinement* (SR3): the small picture, enlarged, beside the
#   noisy one.
# - Keys 1981, *Cubic Convolution Interpolation for Digital Image Processing*: the bump of (13.4).
# - Blau and Michaeli 2018, *The Perception-Distortion Tradeoff*: (13.8), and why it has no way out.
# - Choi and others 2021, *ILVR: Conditioning Method for Denoising Diffusion Probabilistic Models*: exercise 13.3 inside a
#   sampler.
#
# ### Next
#
# Every link is forged. [Lesson 14](14_full_cascade.ipynb) puts the text encoder, the base and two super-resolution networks into
# one chain of forty lines and draws a sentence at 1024 × 1024.
