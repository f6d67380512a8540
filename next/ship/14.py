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
# # 14 · The full cascade
#
# A text encoder, one network that decides what is on the page, and two that make the page large: fewer than forty lines
# turn a sentence into 1024 × 1024 pixels, and there is none among them that you have not derived.
#
# **Where this stands.** This is the top of the ladder. Lessons 02 to 09 built the sampler with its guidance and its
# threshold, 10 the text encoder, 11 the base, 12 and 13 the networks that enlarge. Here they are hung together. What is new is
# the account: what the chain as a whole is trained for, what it costs, and what can go wrong between its links.
#
# **Proof number.** 0 of 3,145,728: so many numbers of the finished picture differ by more than one of 255 levels between
# a chain of your own, in fewer than forty lines, and the library.

# %% [markdown]
# ## What you will be able to do
#
# - write the probability of a picture as a product over three sizes, and its training loss as a sum of three that can be
#   trained apart;
# - assemble the cascade from named pieces, and get the library's picture;
# - say which noise belongs to which picture and stage, and repeat any of them alone;
# - count the arithmetic and the memory of a stage before you run it, and say what bfloat16 costs;
# - train each stage on your own pictures, on one processor or on several GPUs, and know which losses to expect.
#
# You need: lessons 03, 06, 08, 09, 10, 11, 12 and 13.
#
# Your time: 120 minutes, exercises included.
#
# Measured run time: 34 s on one thread.
#
# Every symbol stands in [NOTATION.md](NOTATION.md), every new word in [GLOSSARY.md](GLOSSARY.md).

# %% [markdown]
# ## Set-up
#
# This lesson uses all cores, since it draws large pictures. Its numbers may move in the last digits with their number, so it
# prints verdicts where a network has had a hand in them.

# %% tags=["setup"]
import hashlib
import inspect
import itertools
import json
import textwrap
from dataclasses import replace

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.distributions import Normal, kl_divergence
from torch.utils.flop_counter import FlopCounterMode

from minimagen import checkpoint, checks, evaluate, lesson, pixels
from minimagen.cascade import START, Cascade, seeded, stage_of
from minimagen.conditioning import Cond, Text
from minimagen.files import shipped
from minimagen.guidance import guided
from minimagen.noise import cosine, linear, randn
from minimagen.samplers import ancestral, ddim, sample, steps
from minimagen.shapes import UNSEEN_PAIRS, Shapes
from minimagen.superres import lowres
from minimagen.text import TextEncoder
from minimagen.thresholding import static, thresholded

lesson.setup(seed=14, threads=None)

# %% [markdown]
# The same cell serves a laptop and a large machine. It takes the GPU where there is one. There the networks run in bfloat16,
# numbers of half the size (below, whatever is drawn inside `with half:`), and are **compiled**: torch reads the whole network
# once and writes faster code for it; the first picture waits for that, the next ones gain. On a CPU `half` changes nothing.

# %%
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
on_gpu = device.type == "cuda"
half = torch.autocast(device.type, torch.bfloat16, enabled=on_gpu)

# %%
encoder = TextEncoder(device=device)
names = ("base", "sr256", "sr1024")
loaded = [checkpoint.load(shipped("weights") / name, device) for name in names]
(base, sr256, sr1024), settings = zip(*loaded, strict=True)
if on_gpu:
    for denoiser in (base, sr256, sr1024):
        denoiser.net.compile()
print(f"{sum(p.numel() for net, _ in loaded for p in net.parameters()) / 1e6:.1f} million numbers in three networks")

# %% [markdown]
# ## Predict first
#
# Three guesses, on paper.
#
# 1. The base draws 64 × 64 pixels in 48 steps, each of which asks the network twice. The last stage draws 1024 × 1024 pixels,
#    256 times as many, in 10 steps. What share of all arithmetic does the last stage take: a third, two thirds, or nearly
#    everything?
# 2. You draw a sentence with 48 steps in the base, and once more with 96, with the same seed. Does the second stage get the
#    same noise both times?
# 3. You want to train all three networks on your own pictures. Which must be ready first?

# %% [markdown]
# ## Intuition: decide on little paper
#
# A picture of 1024 pixels a side has 3,145,728 numbers. Hardly any of them is a decision: once you know that there is a red
# circle of this size at this place, nearly all else follows. The cascade spends its arithmetic accordingly. Let us count, with
# networks that are only a shape: on the device called `meta` a tensor has a size and no numbers, so that even the largest
# network runs at once, and a counter notes each product of matrices that it would have to do.

# %%
with torch.device("meta"):
    shapes = [stage_of(s.build().requires_grad_(False).eval(), s) for s in settings]
    words = Text(torch.zeros(1, 8, encoder.width), torch.ones(1, 8, dtype=torch.bool))


# %%
@torch.no_grad()
def arithmetic(stage):
    """Multiplications and additions of one evaluation of a stage's network."""
    with torch.device("meta"):
        below = None if stage.aug_level is None else torch.zeros(1, 3, stage.size // 4, stage.size // 4)
        low = below if below is None else lowres(below, stage.size // 4, stage.aug_level, stage.schedule)
        cond = stage.denoiser.prepare(Cond(words, low))
        with FlopCounterMode(display=False) as counter:
            stage.denoiser(torch.zeros(1, 3, stage.size, stage.size), torch.zeros(1), cond)
    return counter.get_total_flops()


# %% [markdown]
# One evaluation, times the steps, times two where the network is asked with and without the sentence. Beside it, how many
# numbers each stage's picture has.

# %%
once = [arithmetic(stage) for stage in shapes]
asked = [stage.steps * (1 if stage.weight == 1 else 2) for stage in shapes]
work = torch.tensor([n * f for n, f in zip(asked, once, strict=True)], dtype=torch.float64)
numbers = torch.tensor([3.0 * stage.size**2 for stage in shapes], dtype=torch.float64)

# %%
figure, ax = plt.subplots(figsize=(7.0, 2.6))
bars = {"numbers that it chooses": numbers, "arithmetic": work, "arithmetic a number": work / numbers}
ends = torch.stack([100 * values.cumsum(0) / values.sum() for values in bars.values()])
for j in (2, 1, 0):  # the longest first, the others over it
    ax.barh(list(bars), ends[:, j], color=lesson.COLOURS[j], hatch=("", "//", "..")[j], edgecolor="white", label=names[j])
ax.set(xlabel="share of the three stages [%]", ylim=(2.6, -1.1))
ax.legend(ncol=3, loc="upper left", reverse=True)
alt = "Three stacked bars: sr1024 chooses nearly all numbers, the base takes nearly all arithmetic a number."
lesson.show(figure, alt=alt)
print(f"the last stage's share of the arithmetic: {100 * work[2] / work.sum():.0f} %")
each = work / numbers
print(f"for each of its numbers the base computes {each[0] / each[2]:.0f} times as much as the last stage")
lesson.check("two thirds", work[2] / work.sum(), 2 / 3, 0.05)

# %% [markdown]
# *Figure 1. Who does what, in shares of all three. Notice the first bar and the last: the last stage chooses nearly all of the
# numbers, and nearly all of the thinking about a number is done by the base.*
#
# Here is your first guess: two thirds. A single network of the base's kind at 1024 pixels would have to think as long about
# every number as the base does about its own. That is the price that the cascade avoids.

# %% [markdown]
# ## Three networks, one probability
#
# Lesson 13 split the *truth* over three sizes. Now the *model*. Let $c$ be the sentence, and $\theta_1, \theta_2, \theta_3$
# the numbers inside the three networks. To draw, we draw a small picture from the base, then a middle one from the second
# network given the small one, then a large one from the third given the middle one. So the probability of all three is
#
# $$ p_\theta(x_{64}, x_{256}, x_{1024} \mid c) = p_{\theta_1}(x_{64} \mid c)\; p_{\theta_2}(x_{256} \mid x_{64}, c)\; p_{\theta_3}(x_{1024} \mid x_{256}, c) \tag{14.1} $$
#
# For the checks we take the world of lesson 13 once more, small enough for tables: large pictures of four black or white
# pixels; the middle picture has two pixels, the number of white ones in each half; the smallest says whether two or more
# are white. The three "networks" are tables of any numbers, turned into probabilities by a softmax. Mind that these networks,
# like real ones, may draw a large picture that does *not* shrink to the middle one.

# %%
g = torch.Generator().manual_seed(141)
large = torch.cartesian_prod(*[torch.tensor([0, 1])] * 4)
x256, x64, x1024 = 3 * large[:, :2].sum(1) + large[:, 2:].sum(1), (large.sum(1) >= 2).long(), torch.arange(16)
q = torch.rand(16, generator=g, dtype=torch.float64)
q = q / q.sum()  # the truth: how likely each of the sixteen large pictures is
tables = [torch.randn(shape, generator=g, dtype=torch.float64, requires_grad=True) for shape in ((2,), (2, 9), (9, 16))]
p1, p2, p3 = (table.detach().softmax(-1) for table in tables)

# %% [markdown]
# The check draws stage by stage, as a cascade does, and counts.

# %% tags=["eq-14.1"]
joint = p1[:, None, None] * p2[:, :, None] * p3
g = torch.Generator().manual_seed(142)
a = p1.multinomial(400_000, True, generator=g)
b = p2[a].multinomial(1, generator=g)[:, 0]
d = p3[b].multinomial(1, generator=g)[:, 0]
counted = torch.bincount((a * 9 + b) * 16 + d, minlength=288).reshape(2, 9, 16) / 400_000
lesson.check("14.1", joint, counted, 0.003)

# %% [markdown]
# What we want is a model of the *large* picture: its probability is the sum of (14.1) over all small and middle pictures on
# the way to it, and nobody can do that sum. Bayes' rule avoids it. For any small and middle picture, $p(x_{1024}) =
# p(x_{64}, x_{256}, x_{1024})\,/\,p(x_{64}, x_{256} \mid x_{1024})$. Take minus the logarithm and put in (14.1), with the small
# and the middle picture that are made from the large one by shrinking:
#
# $$ -\log p_\theta(x_{1024}) = -\log p_{\theta_1}(x_{64}) - \log p_{\theta_2}(x_{256} \mid x_{64}) - \log p_{\theta_3}(x_{1024} \mid x_{256}) + \log p_\theta(x_{64}, x_{256} \mid x_{1024}) \tag{14.2} $$
#
# (the sentence $c$ stands behind every bar). Pictures have 8 bits a colour, so each of these is a probability, at most 1. The
# last logarithm is at most 0, and leaving it out makes the right side larger: **three terms bound the one that we want**. What
# is left out says how surely one can tell, from a large picture that the model has drawn, which small ones it came from. With
# networks that keep to the picture below that is nearly certain, and the bound is nearly an equality. The check finds the same
# probability by looking back through the 400,000 draws.

# %% tags=["eq-14.2"]
three = -(p1[x64].log() + p2[x64, x256].log() + p3[x256, x1024].log())
one = -joint.sum((0, 1)).log()
betrayed = (one - three).exp()  # p(x64, x256 | x1024)
looked_back = counted[x64, x256, x1024] / counted.sum((0, 1))
lesson.check("14.2", betrayed, looked_back, 0.01)
print("the three terms are never below the one that we want:", bool((three >= one).all()))

# %% [markdown]
# ### The noise on the picture below
#
# In lesson 13 the second network saw, not the small picture $y$, but $\tilde y = \alpha_a y + \sigma_a\varepsilon$, noised to a
# level $a$. Does the bound survive this? The stage draws $\tilde y$ first, then a picture from the network given $\tilde y$;
# so what it *is*, as a probability, is a mean over the noise: $p_\theta(x \mid y) = \mathbb{E}_{q(\tilde y \mid y)}\,
# p_\theta(x \mid \tilde y)$. Write $p_\theta(x \mid \tilde y) = p_\theta(x \mid y)\,p_\theta(\tilde y \mid x, y)\,/\,q(\tilde y
# \mid y)$, which is Bayes' rule for the pair $(x, \tilde y)$ with $y$ given, take minus the logarithm, and the mean over
# $q(\tilde y \mid y)$:
#
# $$ \mathbb{E}_{q(\tilde y \mid y)}\left[-\log p_\theta(x \mid \tilde y)\right] = -\log p_\theta(x \mid y) + \operatorname{KL}\!\left(q(\tilde y \mid y)\,\|\,p_\theta(\tilde y \mid x, y)\right) \tag{14.3} $$
#
# A divergence is never negative, so the left side, which training with a noised picture makes small, bounds what we want. And
# the sampler must do the same: *draw* $\tilde y$ at the level that it tells the network. That is why one function, `lowres`,
# serves both. The check takes one pixel: $x$ given $\tilde y$ is $\mathcal N(k\tilde y, v)$. Then $x$ given $y$ is Gaussian
# with mean $k\alpha y$ and variance $v + k^2\sigma^2$, and $\tilde y$ given both is Gaussian again, its precision (one over
# the variance) the sum of $1/\sigma^2$ and $k^2/v$. The left side is done by drawing.

# %% tags=["eq-14.3"]
alpha, sigma, k, v, y, x = 0.8, 0.6, 1.1, 0.3, 0.5, 0.9
exact = -Normal(k * alpha * y, (v + k**2 * sigma**2) ** 0.5).log_prob(torch.tensor(x))
precision = 1 / sigma**2 + k**2 / v
posterior = Normal((alpha * y / sigma**2 + k * x / v) / precision, precision**-0.5)
right = exact + kl_divergence(Normal(alpha * y, sigma), posterior)
noised = alpha * y + sigma * torch.randn(1_000_000, generator=torch.Generator().manual_seed(143))
lesson.check("14.3", -Normal(k * noised, v**0.5).log_prob(torch.tensor(x)).mean(), right, 0.01)

# %% [markdown]
# ### The bound is a sum of three, and the three can be trained apart
#
# Each of the three terms is a diffusion model, told some $c$ and some $\tilde y$; lesson 03 bounds it by a variational bound
# $L$, and being told something changes no line of that proof. Together:
#
# $$ -\log p_\theta(x_{1024} \mid c) \;\le\; L_{64}(\theta_1;\, x_{64}, c) + \mathbb{E}\,L_{256}(\theta_2;\, x_{256}, \tilde x_{64}, c) + \mathbb{E}\,L_{1024}(\theta_3;\, x_{1024}, \tilde x_{256}, c), \qquad \nabla_{\theta_j}\sum_i L_i = \nabla_{\theta_j} L_j \tag{14.4} $$
#
# Look at what each term contains: *its own* network, and **real** pictures, shrunk and noised. No network's drawing appears.
# So the gradient by $\theta_2$ knows nothing of the base, and the three may be trained on three machines, in any order, on the
# same evening. That answers your third guess. The check takes the gradient of the whole sum by automatic differentiation, and
# for each table alone the formula of the softmax: what it says, minus what is true, as often as its case comes up.

# %% tags=["eq-14.4"]
logs = [table.log_softmax(-1) for table in tables]
bound = -(q * (logs[0][x64] + logs[1][x64, x256] + logs[2][x256, x1024])).sum()
together = torch.autograd.grad(bound, tables)
truth = torch.zeros(2, 9, 16, dtype=torch.float64).index_put((x64, x256, x1024), q)
alone = [p1 - truth.sum((1, 2))]  # each row: (softmax - truth given the case) times how often the case comes up
for p, pair in ((p2, truth.sum(2)), (p3, truth.sum(0))):
    alone.append(pair.sum(1, keepdim=True) * p - pair)
lesson.check("14.4", torch.cat([t.flatten() for t in together]), torch.cat([t.flatten() for t in alone]), 1e-12)

# %% [markdown]
# ### What the sum can reach
#
# One large network would have, as the lowest loss of all, the entropy $H(x_{1024})$ of the data (lesson 03). Can the sum of
# three get as low? The best that each term can be is an entropy, that of its picture given the picture below. And an entropy
# splits like a probability: $H(A, B) = H(A) + H(B \mid A)$. The small pictures are *made from* the large one, so they add
# nothing to its entropy, $H(x_{64}, x_{256}, x_{1024}) = H(x_{1024})$. And $x_{1024}$ given both is the same as given $x_{256}$
# alone, for the same reason. So
#
# $$ H(x_{64}) + H(x_{256} \mid x_{64}) + H(x_{1024} \mid x_{256}) = H(x_{1024}) \tag{14.5} $$
#
# Cutting the work into three costs nothing in principle. And where each network misses its own entropy by some nats, the large
# picture misses by at most their sum: errors add, they do not multiply. In the check the three entropies come one by one from
# the tables of the truth.

# %% tags=["eq-14.5"]
entropy = lambda p: -torch.xlogy(p, p).sum()
given = lambda pair: sum(row.sum() * entropy(row / row.sum()) for row in pair if row.sum() > 0)  # H(column | row)
parts = [entropy(truth.sum((1, 2))), given(truth.sum(2)), given(truth.sum(0))]
lesson.check("14.5", sum(parts), entropy(q), 1e-12)
print(f"{parts[0]:.3f} + {parts[1]:.3f} + {parts[2]:.3f} = {entropy(q):.3f} nats")


# %% [markdown]
# > **Reading the article with care.** The article tells the cascade as three models in a row, and one might think that they
# > are trained in a row as well, each on what the one before it draws. They are not: (14.4) contains real pictures only. That
# > is the cascade's comfort, three independent trainings, and its weakness, since no network ever meets the drawings that it
# > will be given. Noise augmentation is there for that. And the count: 64 → 256 is one super-resolution network, 256 → 1024
# > the second.

# %% [markdown]
# ## The whole of Imagen, in fewer than forty lines
#
# Here is Imagen. Each comment names the section of the paper; each name on the right side of an `=` is one that you have
# derived. The numbers are those that the shipped weights are meant for: guidance 2 and 48 steps for the base, no guidance for
# the other two, level 0.1.

# %%
def imagen(sentence, seed):
    """A sentence and a seed -> its picture at 64, 256 and 1024 pixels, each (1, 3, H, W) in [-1, 1]."""

    def draw(denoiser, cond, size, weight, levels, step, noise):
        denoise = thresholded(guided(denoiser, cond, weight), static)  # 2.2 guidance, 2.3 threshold
        z = randn((1, 3, size, size), noise, like=cond.text.tokens)  # z_1 ~ N(0, I)
        *_, last = sample(denoise, levels, z, step, noise)  # for s < t
        return last.x0

    text = encoder.encode([sentence])  # 2.1 a frozen encoder, trained on text alone

    noise = [seeded(seed, 0)]
    x64 = draw(base, Cond(text), 64, 2.0, steps(cosine, 48, START), ancestral(), noise)  # 2.4 the base

    noise = [seeded(seed, 1)]
    low = lowres(x64, 64, 0.1, cosine, noise)  # noise conditioning augmentation
    x256 = draw(sr256, Cond(text, low), 256, 1.0, steps(cosine, 32, START), ancestral(), noise)

    noise = [seeded(seed, 2)]
    low = lowres(x256, 256, 0.1, linear, noise)
    x1024 = draw(sr1024, Cond(text, low), 1024, 1.0, steps(linear, 10, START), ddim(), noise)
    return x64, x256, x1024


# %% [markdown]
# And a sentence, with a seed that was not chosen for its picture: 14, the number of the lesson.

# %%
sentence = "a large red circle"
with half:
    mine = imagen(sentence, 14)
print(f"{len(inspect.getsource(imagen).splitlines())} lines from a sentence to {mine[-1].shape[-1]} pixels")

# %%
figure, axes = plt.subplots(1, 3, figsize=(6.0, 2.3))
for ax, picture in zip(axes, mine, strict=True):
    ax.imshow(pixels.to_uint8(picture[0]).permute(1, 2, 0).cpu().numpy(), interpolation="nearest")
    ax.set(xticks=[], yticks=[], title=f"{picture.shape[-1]} × {picture.shape[-1]}")
    ax.spines[:].set_visible(True)
lesson.show(figure, alt="One drawing of: a large red circle, at 64, 256 and 1024 pixels, with ever smoother edges.")
strays = [evaluate.agreement(above, below).item() for below, above in zip(mine, mine[1:], strict=False)]
print("each stage keeps to the one below, within 3 % of the way from white to black:", max(strays) < 0.03)

# %% [markdown]
# *Figure 2. What your lines draw. Notice that the place and the colour are the same three times, and that only the edge
# changes: the base has decided, the others have carried out.*

# %% [markdown]
# ## Seeds: whose noise is it?
#
# A picture is a function of the sentence, the weights, and noise. To repeat it, its noise must depend on nothing else: not on
# the company that it is drawn in, not on how many steps the stage below has taken, not on the processor. So every picture has,
# at every stage, a generator of its own. Picture $i$ of a list drawn with seed $s$ begins, at stage $j$, from the number
#
# $$ n_{ij} = 16\,(s + i) + j, \qquad 0 \le j < 16 \tag{14.6} $$
#
# Why not simply $s + i + j$? Because then picture 0 at stage 1 and picture 1 at stage 0 would begin from the same number, and
# a network would be handed, as fresh noise, what another had just used up. With (14.6) that cannot happen: dividing by 16
# gives back both, the quotient $s + i$ and the remainder $j$. The check runs over 1,000 seeds and 16 stages.

# %% tags=["eq-14.6"]
s, j = torch.arange(1000)[:, None], torch.arange(16)
n = 16 * s + j
given_out = torch.tensor([[seeded(a, b).initial_seed() for b in range(16)] for a in range(1000)])
lesson.check("14.6", n, given_out, 1e-9)
print(n.unique().numel(), "different numbers for 16000 pairs of picture and stage;", (s + j).unique().numel(), "with s + j")

# %% [markdown]
# It also answers your second guess. The base's extra steps draw extra noise, from the base's own generator. The second
# stage's generator knows nothing of it, so it hands out the same noise both times. (The *picture* from below differs, and so
# the result.) And neighbours are strangers: the noise of two seeds, or of two stages of one picture, has no correlation
# beyond chance, which for $N$ numbers is of the size $1/\sqrt N$.

# %%
streams = torch.stack([randn((12_288,), seeded(14 + i, j)) for i in range(4) for j in range(3)])
between = torch.corrcoef(streams).fill_diagonal_(0).abs().max()
print("twelve neighbouring streams, no two of them correlated beyond 5 / sqrt(N):", bool(between < 5 / 12_288**0.5))

# %% [markdown]
# ## What it costs: arithmetic, memory, precision
#
# ### Arithmetic
#
# Stage $j$ asks its network $n_j$ times (lesson 06), on $r_j$ rows a picture: $r_j = 2$ where it is guided, since each question
# is asked with and without the sentence, and 1 where not. With $F_j$ operations for one row,
#
# $$ W = \sum_j n_j\, r_j\, F_j \tag{14.7} $$
#
# That is how Figure 1 was counted, from one evaluation a stage. The check runs the last stage as a whole, all its steps, on
# the device without numbers, and counts everything that happens. It may find a little more: the sentence's part is prepared
# once a picture (lesson 12).

# %% tags=["eq-14.7"]
with torch.device("meta"):
    middle = torch.zeros(1, 3, 256, 256)
with FlopCounterMode(display=False) as counter:
    made = len(list(shapes[2].run(words, middle)))
lesson.check("14.7", work[2] / counter.get_total_flops(), 1.0, 0.001)
print(f"{made} evaluations, {work.sum() / 1e9:.0f} thousand million operations for a picture of 1024 pixels")

# %% [markdown]
# ### Memory
#
# Three things need room. The **weights**: a number has $b$ bytes, 4 in float32, 2 in bfloat16. The **sampler**, which holds
# $z$, the estimate, the estimate before it and the picture below: four pictures, roughly. And the **feature maps** inside the
# network, of which only a few live at a time, since nothing is kept for a gradient. A feature map of $C$ channels, in a
# network that folds $P \times P$ pixels into channels before its first convolution (lesson 12), has, for $B$ pictures of $H
# \times H$,
#
# $$ M = b\,B\,C\left(\frac{H}{P}\right)^2 \ \text{bytes} \tag{14.8} $$
#
# So memory grows with the batch and with the *square* of the side, and the weights do not grow at all. That is why the library
# draws sixteen pictures at a time at 256 pixels and one at 1024 (`cascade.MAX_PIXELS`). The check watches the output of every
# convolution of the last network go by, again on the device without numbers, and takes the largest.

# %% tags=["eq-14.8"]
config = settings[2].config
largest = 4 * 1 * config.widths[0] * (1024 / config.patch) ** 2
seen = []
layers = [module for module in shapes[2].denoiser.net.modules() if isinstance(module, torch.nn.Conv2d)]
hooks = [layer.register_forward_hook(lambda layer, given, out: seen.append(4 * out.numel())) for layer in layers]
arithmetic(shapes[2])
for hook in hooks:
    hook.remove()
lesson.check("14.8", largest, max(seen), 0.5)

# %% [markdown]
# Now count the weights, ours and the paper's. Ours are on the disk in bfloat16, 2 bytes each, behind a short header that says
# what is where. (The paper's sizes: 4.6 thousand million numbers in the text encoder, 2 in the base, 0.6 and 0.4 in the other
# two.)

# %%
for name, net in zip(names, (base, sr256, sr1024), strict=True):
    file = (shipped("weights") / name / "weights.safetensors").read_bytes()
    header = 8 + int.from_bytes(file[:8], "little")
    counted_bytes = 2 * sum(tensor.numel() for tensor in net.net.state_dict().values())
    lesson.check(f"weights of {name}, in bytes", counted_bytes, len(file) - header, 0.5)
sizes = {"T5-XXL": 4.6, "base": 2.0, "64 to 256": 0.6, "256 to 1024": 0.4}
for bytes_each, kind in ((4, "float32"), (2, "bfloat16")):
    print(f"the paper's weights in {kind}: " + ", ".join(f"{name} {bytes_each * n:.1f} GB" for name, n in sizes.items()))

# %% [markdown]
# ### Precision
#
# float32 keeps 24 binary digits of a number, bfloat16 only 8, of which the first is always 1 and not stored. Between $2^e$
# and $2^{e+1}$ its numbers lie $2^{e-7}$ apart, so rounding to the nearest moves a number by at most half of that, $2^{e-8}$.
# Let $u = 2^{-8}$. How large can the error be *relative* to the number? The worst place is half way between $2^e$ and its
# neighbour $2^e(1 + 2u)$, that is at $2^e(1 + u)$, which moves by $2^e u$:
#
# $$ \max_x \frac{|\operatorname{round}(x) - x|}{|x|} = \frac{u}{1 + u}, \qquad u = 2^{-8} \tag{14.9} $$
#
# that is 0.39 %. The same with $u = 2^{-24}$ is float32. The check rounds all 8,388,608 float32 numbers from 1 to 2, and so
# meets the worst one.

# %% tags=["eq-14.9"]
u = 2.0**-8
every = torch.arange(2**23, dtype=torch.int32).add(127 << 23).view(torch.float32)
relative = (every.bfloat16().double() - every.double()).abs() / every.double()
lesson.check("14.9", u / (1 + u), relative.max(), 1e-9)

# %% [markdown]
# Is 0.39 % much? For what a network computes, no: it is one of 255 levels at full brightness, and errors of both signs average
# out in its sums. For the *sampler* it would be fatal, because it adds many small things to a large one. What is smaller than
# half the gap between neighbours is lost without a trace:

# %%
total = {kind: torch.ones((), dtype=kind) for kind in (torch.float32, torch.bfloat16)}
for kind in total:
    for _ in range(1000):
        total[kind] = total[kind] + torch.tensor(0.001, dtype=kind)
print({str(kind): round(value.item(), 2) for kind, value in total.items()})

# %% [markdown]
# A thousand steps of 0.001 from 1 lead to 2, and in bfloat16 nowhere. So `Denoiser` turns the network's answer back into
# float32 at once, and $z$, the schedule and every step stay there: **only the network runs in bfloat16**. What does the whole
# way cost then? We draw the same sentence, with the same noise, both ways.

# %%
with torch.autocast(device.type, torch.bfloat16):
    halved = Cascade(encoder, [stage_of(base, settings[0])]).draw([sentence], seed=14)[0]
off = 127.5 * (halved.clamp(-1, 1) - mine[0].clamp(-1, 1)).abs()
print("bfloat16 changes the picture, by less than 2 of 255 levels on average:", bool(0 < off.mean() < 2))
verdicts = [evaluate.alignment(picture, [sentence]).right["all"].item() for picture in (mine[0], halved)]
print("a program that reads both gives both the same verdict:", verdicts[0] == verdicts[1])

# %%
pair = torch.cat([mine[0], halved, (off / 2 - 1).clamp(-1, 1)]).cpu()
figure = lesson.strip(pair, ["float32", "bfloat16", "difference, × 64"], side=1.6)
lesson.show(figure, alt="The same drawing in float32 and in bfloat16, and their difference, which lies along the outline.")

# %% [markdown]
# *Figure 3. One sentence, one seed, two precisions, and 64 times their difference. Notice where it is largest: along the
# outline, where the smallest push moves a pixel from paper to ink. Neither drawing is the better one. But they are not the
# same, so say the precision when you say the seed.*
#
# ### Seconds
#
# Seconds depend on the machine and on what else it does, so no cell of a lesson measures them. A script does,
# `benchmarks/cascade.py`, and leaves a file behind, with the name of the machine in it. The table shows that file: the seconds
# that each stage takes for one picture, and the most memory that it holds beside the weights.

# %%
measured = json.loads(lesson.checkout("docs", "evaluation", "cascade.json").read_text(encoding="utf-8"))
runs = {run["device"]: run for run in measured["runs"]}
kinds = {"float32 on a CPU": ("cpu", "float32"), "bfloat16 on a CPU": ("cpu", "bfloat16")}
kinds["bfloat16 on a GPU"] = ("cuda", "bfloat16")
print(" " * 8 + "".join(f"{kind:>22}" for kind in kinds))
for name in names:
    rows = [runs[where]["stages"][name][kind] if where in runs else None for where, kind in kinds.values()]
    cells = [f"{row['seconds']:.1f} s, {row['memory']:.0f} MB" if row else "not yet measured" for row in rows]
    print(f"{name:<8}" + "".join(f"{cell:>22}" for cell in cells))

# %%
for where, run in runs.items():
    print(f"{where}: {run['machine']} ({run['command']})")
cpu = {kind: [runs["cpu"]["stages"][name][kind] for name in names] for kind in ("float32", "bfloat16")}
spent = torch.tensor([row["time"][0] for row in cpu["float32"]])
print(f"a sentence to 1024 pixels on this CPU: {sum(row['seconds'] for row in cpu['float32']):.0f} s")
print("shares of the arithmetic:", ", ".join(f"{100 * part:.0f} %" for part in work / work.sum()))
print("shares of the time:      ", ", ".join(f"{100 * part:.0f} %" for part in spent / spent.sum()))
ratios = [b["seconds"] / f["seconds"] for f, b in zip(*cpu.values(), strict=True)]
print("bfloat16's time over float32's:", ", ".join(f"{ratio:.2f}" for ratio in ratios))
print("its pictures differ, in levels:", ", ".join(f"{row['levels']:.2f}" for row in cpu["bfloat16"]))
print(f"the last stage's memory: {cpu['float32'][2]['memory'] * 1e6 / largest:.1f} maps of (14.8)")

# %% [markdown]
# Three things to read off.
#
# - **Time is not arithmetic.** The two rows of shares need not agree. The counter sees products of matrices; the clock also sees
#   what lies between them: normalisations, the copying of feature maps, and the start of hundreds of small layers in each step,
#   which weighs most where the pictures are small.
# - **bfloat16 pays only where the processor has instructions for it.** A ratio well below 1 says that this one has. Without
#   them each number is unpacked, computed in float32 and packed again, and the ratio is above 1. Memory does not halve
#   either, since the sampler's own pictures stay in float32.
# - **A stage holds more than one feature map.** A layer reads one map while it writes the next, its convolution needs room to work
#   in, and the skips of lesson 12 wait with theirs.

# %% [markdown]
# ## The paper's figures, in miniature
#
# ### Listening against variety
#
# The paper's figure 4 shows, for each network, a curve over guidance weights: alignment with the text against the Fréchet
# distance to real pictures (the smaller, the more alike are the two crowds of pictures). The measures here are our own, since
# our world allows an exact one: *right* is the share of drawings that show everything that the sentence says, as read by a
# program; the Fréchet distance is taken of mean colours on a grid of 8 × 8 (`evaluate.frechet`). The points were measured by
# `docs/evaluation/curves.py` on the shipped base, all with the same held-out sentences and the same noise. Lesson 08 recomputes
# one of them; here we only draw.

# %%
curves = json.loads(lesson.checkout("docs", "evaluation", "curves.json").read_text(encoding="utf-8"))
own = hashlib.sha256((shipped("weights") / "base" / "weights.safetensors").read_bytes()).hexdigest()
assert curves["base"]["sha256"] == own, "the curves are of other weights: run docs/evaluation/curves.py again"
swept = sorted((p for p in curves["points"] if "frechet" in p), key=lambda p: p["weight"])
share = lambda point, end="value": 100 * point["right"]["all"][end]
apart = lambda point: point["frechet"]["value"]

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.6), sharey=True)
for marker, threshold in zip("os^", ("none", "static", "dynamic"), strict=True):
    line = [p for p in swept if p["threshold"] == threshold]
    value, low, high = (np.array([share(p, end) for p in line]) for end in ("value", "low", "high"))
    axes[0].errorbar([p["weight"] for p in line], value, [value - low, high - value], marker=marker, capsize=2, label=threshold)
    axes[1].plot([apart(p) for p in line], value, marker=marker, label=threshold)
    axes[1].annotate(
        f"w = {line[-1]['weight']:g}", (apart(line[-1]), value[-1]), (5, 5), textcoords="offset points", fontsize=8
    )
axes[1].axvline(apart(curves["real"]), color="grey", lw=1, linestyle="-")
axes[0].set(xlabel="guidance weight w", ylabel="everything right [%]", ylim=(0, 100))
farthest = max(apart(p) for p in swept)
ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick < 1.5 * farthest]
axes[1].set(xscale="log", xlabel="Fréchet distance to real pictures (mean colours)", xlim=(1, 1.5 * farthest))
axes[1].set(xticks=ticks, xticklabels=[f"{tick}" for tick in ticks])
axes[1].minorticks_off()
axes[1].legend(title="threshold")
lesson.show(
    figure, alt="Left: share of right drawings over the weight, by threshold. Right: the same over the Fréchet distance."
)

# %%
print(curves["data"]["captions"], "sentences a point; real pictures are", f"{apart(curves['real']):.1f} from other real ones")
for threshold in ("none", "static", "dynamic"):
    line = [p for p in swept if p["threshold"] == threshold]
    best, last = max(line, key=share), line[-1]
    interval = f"({share(best, 'low'):.0f} to {share(best, 'high'):.0f})"
    told = f"most are right at w = {best['weight']:g}: {share(best):.0f} % {interval}, {apart(best):.1f} apart;"
    print(f"{threshold:<8} {told} at w = {last['weight']:g} {share(last):.0f} %, {apart(last):.1f} apart")

# %% [markdown]
# *Figure 4. Left, what guidance does to alignment under each threshold, with 95 % intervals; right, the same points as the
# paper draws them, the largest weight of each curve written beside it; the grey line is what real pictures reach against
# other real ones. A good point lies high and to the left. Notice where each curve turns back: listening harder has an end.
# And notice which threshold carries a large weight best.*
#
# In the paper the dynamic threshold is the hero of this figure: with it, large weights become usable. Hold our curves against
# that, with the intervals in mind, and where they disagree, ask what is different. In photographs large weights push single
# pixels out of range here and there, and a rule that brings them back without flattening them keeps detail. Our pages are
# mostly white, that is, mostly *at* the end of the range. What strong guidance pushes beyond it is the whole page, and a rule
# that divides by the 99.5 % of a picture turns white paper grey. Lesson 09 takes this apart. (At $w = 15$ the curve without a
# threshold runs far out to the right; there either rule is better than none.) A figure is a fact about a network *and* its data.
#
# ### The augmentation level
#
# The paper's section 2.4 calls the level a knob, and finds the best pictures between 0.1 and 0.3. Ours: held-out single shapes,
# enlarged from the page itself ("clean"), from the page with smooth errors ("blotched"), and from what the base drew ("drawn").
# The file is made by `docs/evaluation/augmentation.py`.

# %%
levels = json.loads(lesson.checkout("docs", "evaluation", "augmentation.json").read_text(encoding="utf-8"))["points"]
figure, axes = plt.subplots(1, 2, figsize=(8.0, 3.5))
for i, given_picture in enumerate(("clean", "blotched", "drawn")):
    line = [p for p in levels if p["given"] == given_picture and p["level"] is not None and p["level"] <= 0.5]
    for ax, name in zip(axes, ("right", "strays"), strict=True):
        value, low, high = (np.array([100 * p[name][end] for p in line]) for end in ("value", "low", "high"))
        shifted = np.array([p["level"] for p in line]) + 0.006 * i
        ax.errorbar(shifted, value, [value - low, high - value], marker="os^"[i], capsize=2, label=given_picture)
axes[0].set(xlabel="augmentation level in sampling", ylabel="everything right [%]", ylim=(0, 105))
axes[1].set(xlabel="augmentation level in sampling", ylabel="distance from the picture below [%]", yscale="log")
axes[1].set(yticks=[0.2, 0.5, 1, 2, 5], yticklabels=["0.2", "0.5", "1", "2", "5"])
axes[1].minorticks_off()
axes[0].legend()
alt = "Left: the share of right drawings falls beyond level 0.3. Right: the distance from the picture below grows."
lesson.show(figure, alt=alt)
found = {(p["given"], p["level"]): 100 * p["right"]["value"] for p in levels}
for kind in ("clean", "blotched", "drawn"):
    print(f"{kind:<9} right at level 0, 0.1, 0.3, 0.5:", *(f"{found[kind, level]:.0f} %" for level in (0, 0.1, 0.3, 0.5)))
assert all(found[kind, 0.5] < found[kind, 0.1] for kind in ("clean", "blotched"))

# %% [markdown]
# *Figure 5. The level as a knob, with 95 % intervals over pages. Notice the fall between 0.3 and 0.5. This network was
# trained at levels up to 0.3, so beyond that it is asked for what it never learned. Notice also the right side for
# "blotched": the distance from the picture below is large at every level, because the network wipes most of the blotches off, as it
# should.*
#
# Between 0 and 0.3 the knob does little that these intervals could see. The paper's base draws textures, and can err in them;
# our pages have none, and little is left to invent. Let us recompute one point, the first four pages at level 0.1, and hold
# it against the file.

# %%
data = Shapes(256, "held-out", {"single": 1.0})
page = torch.stack([pixels.from_uint8(data[i][0]) for i in range(4)])
text = TextEncoder(device="cpu").encode([data.caption(i) for i in range(4)])
plain, _ = checkpoint.load(shipped("weights") / "sr256", "cpu")
stage = replace(stage_of(plain, settings[1]), steps=8)
*_, last = stage.run(text, pixels.resize(page, 64), [seeded(i, 1) for i in range(4)])

# %%
psnr = 10 * torch.log10(4 / (last.x0 - page).square().flatten(1).mean(1))
filed = next(p for p in levels if (p["given"], p["level"]) == ("clean", 0.1))["psnr of the first"]
lesson.check("that the file can be repeated, in decibels", psnr, filed, 0.1)

# %% [markdown]
# ### The size of the encoder against the size of the network
#
# The paper's figure 4 has two more panels, and they hold its most quoted finding: a larger text encoder helps more than a
# larger base. To see that, one must train several bases with several encoders. Of the base that comes with minimagen there is
# only one. So here is a miniature, on lesson 11's world of 16 × 16 pixels and one object, with captions in many wordings: two
# encoders times two networks, each pair trained for the same number of steps and then asked in *held-out* wordings. The large
# encoder is the shipped one, the small one its first block alone. `docs/evaluation/sizes.py` makes the file.

# %%
sizes = json.loads(lesson.checkout("docs", "evaluation", "sizes.json").read_text(encoding="utf-8"))
counts = {point["network"]: point["parameters"] for point in sizes["points"]}
for size, told in sizes["encoders"].items():
    print(f"{size} encoder: {told['blocks']} of 4 blocks, {told['parameters'] / 1e6:.2f} million numbers")
print("networks:", ", ".join(f"{size} {count / 1e6:.2f} million numbers" for size, count in counts.items()))
print(f"{sizes['steps']} steps of {sizes['batch']} pages, {sizes['drawings']} drawings a point; {sizes['machine']}")

# %%
PAIRS = list(itertools.product(("small", "large"), repeat=2))  # encoder, network
of_pair = lambda *pair: [p for p in sizes["points"] if (p["encoder"], p["network"]) == pair]
asked_at = sorted({p["weight"] for p in sizes["points"]})


def at_weights(points, value):
    """The mean of a value over the seeds, at each guidance weight."""
    return [float(np.mean([value(p) for p in points if p["weight"] == w])) for w in asked_at]


# %%
figure, ax = plt.subplots(figsize=(7.0, 3.6))
for i, (read_by, drawn_by) in enumerate(PAIRS):
    points = of_pair(read_by, drawn_by)
    shares = at_weights(points, lambda p: 100 * p["right"].count("1") / len(p["right"]))
    far = at_weights(points, lambda p: p["frechet"])
    look_of = {"color": lesson.COLOURS[i // 2], "marker": "os"[i % 2], "linestyle": ("--", "-")[i % 2]}
    ax.plot(far, shares, label=f"{read_by} encoder, {drawn_by} network", **look_of)
    for w, *place in zip(asked_at, far, shares, strict=True):
        ax.annotate(f"{w:g}", place, (5, 4), textcoords="offset points", fontsize=8)
ax.set(xlabel="Fréchet distance to real pages (mean colours)", ylabel="everything right [%]", ylim=(0, 100))
ax.legend(fontsize=8)
lesson.show(figure, alt="Share of right drawings over the Fréchet distance for four pairs of encoder and network size.")


# %% [markdown]
# *Figure 6. Two encoders (the colours) times two networks (the line styles); the number at a point is the guidance weight; each point is the mean of two trainings.
# Notice which change lifts a line further: the other colour, or the other style?*
#
# All four drew the same captions from the same noise. So we can count, caption by caption, what a change gains, averaged over
# the weights and over the size that stays. Each pair was trained twice, from two seeds; the interval is over captions.

# %%
def hits(encoder_size, network, seeds=(0, 1)):
    """How often each caption was drawn rightly, over weights and seeds: (captions,), from 0 to 1."""
    points = [p for p in of_pair(encoder_size, network) if p["seed"] in seeds]
    return torch.tensor([[float(one) for one in p["right"]] for p in points]).mean(0)


def gained(seeds=(0, 1)):
    """What each change gains, caption by caption."""
    first = sum(hits("large", size, seeds) - hits("small", size, seeds) for size in counts) / 2
    second = sum(hits(size, "large", seeds) - hits(size, "small", seeds) for size in counts) / 2
    return {"encoder": first, "network": second}


# %%
ends = {change: [100 * end for end in evaluate.bootstrap(gain)] for change, gain in gained().items()}
for change, (low, high) in ends.items():
    each = ", ".join(f"{100 * gained([seed])[change].mean():+.0f}" for seed in (0, 1))
    mean = 100 * gained()[change].mean()
    print(f"a larger {change}: {mean:+.0f} points (95 % interval {low:+.0f} to {high:+.0f}); by seed {each}")
assert ends["network"][0] > max(0, ends["encoder"][1])

# %% [markdown]
# Here the larger network helps, and the larger encoder does not: from either seed it even costs some points. That does not refute the paper, and you should know why before you quote either. A sentence with one
# object asks little of an encoder, hardly more than to notice three words, and a first block notices words. The paper's prompts
# ask for understanding. So few steps finish none of the four, so this measures who learns faster as much as who ends better. Two
# seeds are few, and the intervals, which are over captions, do not know what a third would give: look how far the two are apart.
# And nothing says that the two encoders are as far apart as the two networks. A miniature shows how such a question is asked. It
# cannot answer it for Imagen.
#
# ## A gallery, chosen before it was drawn
#
# Eight sentences, written down before any was drawn, one seed each, no second try. Some name a colour and a shape that no
# training page of shapes shows together (`shapes.UNSEEN_PAIRS`); they are marked as new pairs. The program's verdict stands
# under each.

# %%
GALLERY = ["a large red circle", "a small blue star", "a yellow heart", "a big green cross", "a black ring"]
GALLERY += ["a medium purple square", "a small red star to the left of a large blue circle", "two green hearts"]
cascade = Cascade(encoder, [stage_of(net, s) for net, s in loaded], settings)
with half:
    drawn = cascade.draw(GALLERY, seed=140, size=256)[-1].cpu()
right = evaluate.alignment(drawn, GALLERY).right["all"]
new = [any(colour in said and shape in said for colour, shape in UNSEEN_PAIRS) for said in GALLERY]

# %%
figure, axes = plt.subplots(2, 4, figsize=(7.8, 5.0))
for ax, picture, said, fine, fresh in zip(axes.flat, drawn, GALLERY, right.tolist(), new, strict=True):
    ax.imshow(pixels.to_uint8(picture).permute(1, 2, 0).numpy())
    verdict = ("right" if fine else "wrong") + (", new pair" if fresh else "")
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"{textwrap.fill(said, 26)}\n({verdict})", fontsize=8)
    ax.spines[:].set_visible(True)
lesson.show(figure, alt="Eight drawings at 256 pixels, the sentence and a program's verdict under each.")

# %% [markdown]
# *Figure 7. Eight sentences at 256 pixels. Notice which are wrong, if any, and in what: size, colour, number, place, or an
# outline that the program does not accept as the shape. A gallery of chosen pictures would hide that.*
#
# Eight drawings make no percentage. The honest figures are in `docs/evaluation`, over hundreds of held-out sentences:

# %%
for kind in ("single", "pair", "triple"):
    held = json.loads(lesson.checkout("docs", "evaluation", f"{kind}-held-out.json").read_text(encoding="utf-8"))
    at, all_of_it = held["stages"][-1]["size"], held["right"]["all"]
    told = f"{100 * all_of_it['share']:.1f} % ({100 * all_of_it['low']:.1f} to {100 * all_of_it['high']:.1f})"
    print(f"{kind:<7} everything right in {told} of {held['captions']} sentences, at {at} pixels")
for kind, said in (("things", "nearest to the emoji they name"), ("picnic", "both emoji of a scene nearest to their own")):
    held = json.loads(lesson.checkout("docs", "evaluation", f"{kind}-held-out.json").read_text(encoding="utf-8"))
    nearest = held["right"]["top 1"]
    told = f"{100 * nearest['share']:.1f} % ({100 * nearest['low']:.1f} to {100 * nearest['high']:.1f})"
    print(f"{kind:<7} {said} in {told} of {held['captions']} sentences, at 64 pixels")

# %% [markdown]
#
# > **Misuse and bias.** The Imagen paper gives its section 6 to this, and its authors kept code and weights to themselves
# > because of it. Their reasons, in our words. A machine that draws any sentence also draws lies, insults and abuse. Pictures
# > with captions by the hundred million can only be had by taking them from the web unseen; an audit of such a set,
# > LAION-400M, found pornography, slurs and stereotypes in it, and a model learns what it is shown. A text encoder read the
# > web as well, and brings its prejudices along. Their own first tests found that Imagen leans towards lighter skin in
# > people, and portrays professions as Western stereotypes of men and women would have them; its pictures of people were also
# > worse than its other ones. And ways to measure all this were hardly worked out.
# >
# > Here is what you can do, and what we did. *Know your data:* ours are shapes drawn by a program, and licensed drawings
# > listed by name in `data/SOURCES.md`. *Choices hide in data:* we left the skin tones of emoji out, so a network trained on
# > them draws every person in the default yellow. That is a choice too, and so it is written down. *Measure what a sentence
# > leaves open:* ask for "a circle" a hundred times and count the colours; a bias is what you then see and did not ask for.
# > *Say what was generated:* the command line writes the sentence and every setting into the picture's file. A small world
# > makes this easy. It does not get easier by leaving it out in a large one.
#
# ## How to train each stage
#
# **Which first?** Any: (14.4) lets you train the three at once. If you have one machine, train the base first, since it decides
# whether a sentence is understood, and can be drawn from at 64 pixels alone.
#
# **At which size?** Begin the base at 32 × 32. Words are learned there at a quarter of the cost, and `--from` takes the weights
# on to 64. The other two are trained on *crops*, 128 pixels a side (lesson 13), and run on whole pictures.
#
# **How long, and which loss?** The logs of the shipped weights lie beside them. A log has a line every few hundred steps:
# pictures seen since the line before, their mean loss, the loss by noise level, the speed. (Where several logs are listed,
# the training went in legs, each from the weights of the leg before; the size in pixels stands at the end of the name. The base
# had two processor cores from leg 6 on, but for leg 10, and another machine from leg 10 on; of the other two the last leg's log is
# kept. From leg 5 on, training of the base saw more noise, so losses are larger, and from leg 10 on emoji, which are harder, from
# leg 15 on two of them on a page.)

# %%
logs = {}
for name in names:
    numbered = lambda path: int(path.stem.split("-")[1]) if "-" in path.stem else 0
    for path in sorted((shipped("weights") / name).glob("log*.jsonl"), key=numbered):
        logs[f"{name}/{path.stem}"] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
print(f"{'log':<24}{'pictures':>9}{'minutes':>9}{'first loss':>12}{'last loss':>11}")
for name, lines in logs.items():
    pictures = sum(line["pictures"] for line in lines)
    minutes = sum(line["pictures"] / line["pictures_per_second"] for line in lines) / 60
    print(f"{name:<24}{pictures:>9}{minutes:>9.0f}{lines[0]['loss']:>12.4f}{lines[-1]['loss']:>11.4f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2))
for name, colour in zip(("base", "sr256", "sr1024"), lesson.COLOURS, strict=False):
    legs, start = [lines for key, lines in logs.items() if key.startswith(f"{name}/")], 0
    for lines in legs:
        pictures = start + np.cumsum([line["pictures"] for line in lines]) / 1000
        label = None if start else name
        axes[0].plot(pictures, [line["loss"] for line in lines], color=colour, linestyle="-", label=label)
        start = pictures[-1]
    axes[1].plot(range(1, 10), legs[-1][-1]["by_level"], marker=".", label=name)
axes[0].set(xlabel="pictures seen [thousands]", ylabel="loss", yscale="log")
axes[1].set(xlabel="noise level, from much (1) to little (9)", ylabel="loss at the end", yscale="log")
axes[0].legend(fontsize=8)
axes[1].legend(fontsize=8)
lesson.show(
    figure, alt="Left: the loss of each leg falls, and ever more slowly. Right: the last loss of each stage by noise level."
)
for name in names:
    ends = next(lines for key, lines in reversed(logs.items()) if key.startswith(f"{name}/"))[-1]["by_level"]
    print(f"{name}: at the end the loss at level 1 is {ends[0] / ends[7]:.0f} times that at level 8")

# %% [markdown]
# *Figure 8. Left: the losses of all legs, a gap where a leg ends. Notice how flat those of shapes become (most of the fall happens
# before the lines begin, which the logs do not resolve), and the falls from leg 10 on, where it is things, and later scenes, that
# are learned by heart. Right: the last line of each stage, by noise level. Notice that the base's loss lies almost
# wholly where the noise is strong. (Fewer than one picture in 200 meets level 9: its dots are chance.)*
#
# Both are as they should be. A page that hides under strong noise cannot be guessed, by anybody, so the base's loss has a
# floor far above 0 (lesson 11 measures it). The other two are told what is on the page, so their losses are small and
# flatter. And above the floor a good and a bad network differ by little in this number: whether a star has five points is a
# matter of a few pixels. So expect a loss that looks finished long before the drawings are good, and judge by drawings, read by
# a program, every few thousand steps.
#
# **Your own pictures.** A folder with `metadata.jsonl`, one line a picture, `{"file_name": "cat.png", "text": "a cat asleep"}`.
# Then, in a terminal:
#
# ```bash
# minimagen train base   --data my_pictures --size 32 --out runs/small      # words first, on little paper
# minimagen train base   --data my_pictures --from runs/small --out runs/base
# minimagen train sr256  --data my_pictures --out runs/sr256                # at the same time, if you have the processors
# minimagen train sr1024 --data my_pictures --out runs/sr1024
# cp -r data/weights/cascade.json data/weights/text runs/ && minimagen draw "a cat asleep" --weights runs
# ```
#
# Ctrl-C stops any of them and `--resume` goes on, bit for bit. `--profile gpu` takes the numbers for a GPU: larger batches,
# more steps, bfloat16. **Several GPUs:** `accelerate launch --num_processes 4 -m minimagen train base --data my_pictures
# --profile gpu --out runs/base`. Each process takes a quarter of every batch, and the mean of their gradients is the gradient
# of the whole batch, so the result is that of one GPU, sooner. What a GPU needs in seconds is **not yet measured** here.

# %% [markdown]
# ## Move it yourself
#
# A sentence, the guidance weight of the base, and the augmentation level of the second stage. Fewer steps than usual, so that
# you need not wait long: 16 and 6.

# %%
quick = [replace(cascade.stages[0], steps=16), replace(cascade.stages[1], steps=6)]
quick = Cascade(encoder, quick, settings[:2])


def look(prompt, w, level):
    with half:
        small, big = quick.draw([prompt], seed=14, weight=[w, 1.0], aug_level=[None, level])
    both = torch.cat([small.repeat_interleave(4, 2).repeat_interleave(4, 3), big]).cpu()
    return lesson.strip(both, [f"64 pixels, w = {w:g}", f"256 pixels, level {level:g}"], side=2.4)


first = look("a large red circle", 3.0, 0.1)
assert len(first.axes) == 2
plt.close(first)

# %% tags=["widget", "nbval-ignore-output"]
lesson.explore(
    look,
    alt="One sentence, drawn at 64 pixels and enlarged to 256, with sliders for the guidance weight and the level.",
    prompt=ipywidgets.Text("a large red circle", continuous_update=False),
    w=ipywidgets.FloatSlider(3.0, min=0.0, max=15.0, step=0.5, continuous_update=False),
    level=ipywidgets.FloatSlider(0.1, min=0.0, max=1.0, step=0.05, continuous_update=False),
)

# %% [markdown]
# ## Now the library
#
# `Cascade` is `imagen` for any number of stages and sentences. It draws large pictures a few at a time, and each
# picture from generators of its own. It must give what `imagen` gave. The two do the same operations in the same order, so we
# ask for the smallest difference that a screen can show, one of 255 levels, in all three pictures.

# %%
with half:
    theirs = cascade.draw([sentence], seed=14)
level_of = lambda picture: 127.5 * (picture.clamp(-1, 1) + 1)
for ours, library in zip(mine, theirs, strict=True):
    lesson.check(f"the library at {ours.shape[-1]} pixels, in levels of 255", level_of(ours), level_of(library), 1.0)


# %% [markdown]
# ## Exercises
#
# Four. The first two are about the chain and its noise, the third about memory, and in the last you look for a fault.

# %% [markdown]
# ### Exercise 14.1 · Chain the stages (2 points, 8 minutes)
#
# Write `chain(stages, seeds)` for any number of stages and pictures. Each stage is a function `stage(below, generators)`: below
# is the batch that the stage before has drawn, (B, 3, h, h), or None for the first; generators is a list with one
# `torch.Generator` a picture; it returns a batch (B, 3, H, H). seeds is a list of B seeds. Picture $i$ must get, at stage $j$,
# the generator of (14.6), which `seeded(seed, j)` makes. Return the list of all batches, the first stage's first.
#
# <details><summary>Hint 1: the idea</summary>
#
# A loop that carries one thing along: the picture so far.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $x_j = \text{stage}_j(x_{j-1}, \cdot)$, with nothing in the place of $x_{-1}$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# `for j, stage in enumerate(stages):`, with `[seeded(s, j) for s in seeds]` and a list that grows.
# </details>

# %% tags=["answer-14.1"]
def chain(stages, seeds):
    """stages: functions (below, generators) -> (B, 3, H, H); seeds: B numbers -> the list of all stages' batches."""
    ### BEGIN SOLUTION
    drawn = [None]
    for j, stage in enumerate(stages):
        drawn.append(stage(drawn[-1], [seeded(s, j) for s in seeds]))
    return drawn[1:]
    ### END SOLUTION


# %% tags=["grade-14.1"]
checks.ex_14_1(chain)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# That is `cascade.cascade`, but for the batches that it splits so that memory does not run out. A stage need not be a diffusion
# model at all: anything that makes a larger picture of a smaller one can take a place in the chain.
# </details>

# %% [markdown]
# ### Exercise 14.2 · Whose noise is this? (2 points, 8 minutes)
#
# Somebody hands you noise, (3, h, h), and remembers only that it was the first that a generator of (14.6) gave, for a seed
# below `most` and one of the stages 0, 1 and 2. Write `whose(noise, most)`: return the seed and the stage.
#
# <details><summary>Hint 1: the idea</summary>
#
# Noise from a generator can be made again. Try them all.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# Two streams of noise are the same or have nothing in common, so the largest difference is 0 for one pair only.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# Two loops, `randn(noise.shape, seeded(s, j))`, `torch.equal`, and a `return s, j` inside.
# </details>

# %% tags=["answer-14.2"]
def whose(noise, most):
    """noise (3, h, h), the first of a generator of (14.6), seeds below `most`, stages 0 to 2 -> seed, stage."""
    ### BEGIN SOLUTION
    for s in range(most):
        for j in range(3):
            if torch.equal(randn(noise.shape, seeded(s, j)), noise):
                return s, j
    ### END SOLUTION


# %% tags=["grade-14.2"]
checks.ex_14_2(whose)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# A seed is no secret. Whoever has the weights and the first noise can find the seed, and whoever has the seed, the sentence and
# the weights has the picture: a proof of where it comes from, if you want to give one, and no protection if you do not.
# </details>

# %% [markdown]
# ### Exercise 14.3 · How many fit? (2 points, 6 minutes)
#
# You measure the peak memory of a stage with one picture, and with two. Write `most_pictures(one, two, room)`, all in bytes:
# how many pictures can be drawn together in `room` bytes? A whole number; 0 where not even one fits.
#
# <details><summary>Hint 1: the idea</summary>
#
# The weights are there once, the feature maps once a picture (14.8).
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $\text{peak}(B) = W + B\,m$. Two measurements give $m$ and $W$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# Subtract, subtract again, and divide with `//`. Mind what `//` does with a negative number.
# </details>

# %% tags=["answer-14.3"]
def most_pictures(one, two, room):
    """one, two: peak bytes with one picture and with two; room: bytes there are -> how many pictures fit, 0 or more."""
    ### BEGIN SOLUTION
    each = two - one
    weights = one - each
    return max(0, (room - weights) // each)
    ### END SOLUTION


# %% tags=["grade-14.3"]
checks.ex_14_3(most_pictures)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# Two short measurements spare you an evening of "out of memory". A real allocator rounds up and keeps reserves, so leave a
# tenth of the room free.
# </details>

# %% [markdown]
# ### Exercise 14.4 · Which stage is wrong? (3 points, 12 minutes)
#
# A picture of 1024 pixels is wrong, and you want to know whose fault it is. Write `culprit(pictures, shows, most)`: pictures is
# the list of the stages' batches, (B, 3, h, h), each larger than the one before; shows (B,) bool says whether the *first* stage
# shows the sentence; most is a number. A later stage is at fault where `evaluate.agreement(its picture, the picture below)`
# is more than `most`. Return (B,) whole numbers: the number of the first stage at fault, counted from 0, or −1 where all is
# well.
#
# <details><summary>Hint 1: the idea</summary>
#
# A fault is handed on. So ask each stage whether it kept to what it was given, and blame the first that did not.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# Stage 0 is at fault where `~shows`. Stage $j$ is where its agreement with stage $j - 1$ is more than `most`, and no earlier
# one is.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# Begin with −1 everywhere, go through the stages from the last to the first, and overwrite with `torch.where`.
# </details>

# %% tags=["answer-14.4"]
def culprit(pictures, shows, most):
    """pictures: a list of (B, 3, h, h); shows (B,) bool; most: a number -> (B,) the first stage at fault, or -1."""
    ### BEGIN SOLUTION
    found = torch.full((len(shows),), -1)
    for j in reversed(range(1, len(pictures))):
        found = torch.where(evaluate.agreement(pictures[j], pictures[j - 1]) > most, j, found)
    return torch.where(shows, found, 0)
    ### END SOLUTION


# %% tags=["grade-14.4"]
checks.ex_14_4(culprit)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# A chain fails at one link. Whoever looks only at its end trains the wrong network. `minimagen evaluate --size 256` prints both
# measures, how many drawings are right and how far a stage strayed from the one below.
# </details>

# %% [markdown]
# ## What breaks if a stage is left out?
#
# Why three? Let us leave one out, or two, and put smooth enlargement (bicubic, lesson 13) in its place. Without the middle
# stage, the last network gets the small picture enlarged to 256. Without the last, the picture of 256 is enlarged to 1024.
# For the small picture we take a real page, shrunk, so that nothing that goes wrong is the base's fault. Before you look:
# which of the two will be missed more?

# %%
def enlarged(j, below):
    """The picture of stage j for the page's own sentence, given the picture below."""
    with half:
        *_, last = cascade.stages[j].run(encoder.encode([data.caption(0)]), below, [seeded(14, j)])
    return last.x0


small = pixels.resize(page[:1], 64).to(device)
medium = enlarged(1, small)
ways = {"both": enlarged(2, medium), "no middle": enlarged(2, pixels.resize(small, 256))}
ways |= {"no last": pixels.resize(medium, 1024), "neither": pixels.resize(small, 1024)}
widths = {name: evaluate.edge_width(picture).item() for name, picture in ways.items()}

# %%
seen = evaluate.read(small[0].cpu())[0]  # what is on the page, and where, in page widths
top, left = (round(1024 * min(0.75, max(0.0, place))) for place in (seen.y - seen.r - 0.1, seen.x - 0.125))
pieces = [picture[..., top : top + 256, left : left + 256].cpu() for picture in ways.values()]
figure = lesson.strip(torch.cat(pieces), list(ways), side=1.5)
lesson.show(figure, alt="A piece of an outline at 1024 pixels, four ways: sharp with the last stage, blurred without it.")
for claim, holds in {
    "without the last stage an edge is more than twice as wide": widths["no last"] > 2 * widths["both"],
    "without both more than four times": widths["neither"] > 4 * widths["both"],
    "without the middle stage less than one and a half times": widths["no middle"] < 1.5 * widths["both"],
}.items():
    assert holds
    print("✓", claim)

# %% [markdown]
# *Figure 9. A piece of the outline, a quarter of the page wide, four ways. Notice the two on the right, blurred, and the two
# on the left, both sharp. Compare the bumps of those two: where the middle stage is left out, the stairs of 64 pixels have
# been smoothed and sharpened again.*
#
# The last stage is missed at once. The middle one much less, which we had not expected. The reason is our world. There is
# nothing in it at the scale of 256 pixels that 64 do not show: an outline is all there is, and a network that has learned to
# make a sharp step of a blurred one does so whoever blurred it. In photographs each scale brings things of its own, fur at
# one and threads of cloth at the next, which somebody must invent at that scale. An ablation tells you about your data as
# well as about your network.

# %% [markdown]
# ## The proof
#
# Once more, and to the pixel. `imagen` against the library, at full size: how many of the 3,145,728 numbers differ by
# more than one of 255 levels? And what does a program that knows nothing of networks read on the page, where we asked for
# "a large red circle"?

# %% tags=["wow"]
differ = ((level_of(mine[2]) - level_of(theirs[2])).abs() > 1).sum().item()
print(f"{differ} of {mine[2].numel():,} numbers differ by more than one level")
print(f"the program finds: {', '.join(f'{o.size} {o.colour} {o.shape}' for o in evaluate.read(mine[2][0].cpu()))}")
assert differ == 0

# %% [markdown]
# A sentence has become a picture of a million pixels, through lines of your own, and you know why each of them is there.

# %% [markdown]
# ## Recap
#
# ### Equation card
#
# | what | formula | in the library |
# |---|---|---|
# | the chain (14.1) | $p_{\theta_1}(x_{64} \mid c)\,p_{\theta_2}(x_{256} \mid x_{64}, c)\,p_{\theta_3}(x_{1024} \mid x_{256}, c)$ | `cascade.cascade` |
# | three terms for one (14.2) | $-\log p(x_{1024}) \le$ the sum of three; what is left out: $\log p(x_{64}, x_{256} \mid x_{1024})$ | – |
# | noise below (14.3) | a bound again; the sampler must draw $\tilde y$ too | `superres.lowres` |
# | the loss (14.4) | $L_{64}(\theta_1) + L_{256}(\theta_2) + L_{1024}(\theta_3)$, trained apart | `recipes.follow` |
# | what it can reach (14.5) | $H(x_{64}) + H(x_{256} \mid x_{64}) + H(x_{1024} \mid x_{256}) = H(x_{1024})$ | – |
# | seeds (14.6) | $n_{ij} = 16(s + i) + j$ | `cascade.seeded` |
# | arithmetic (14.7) | $\sum_j n_j r_j F_j$ | – |
# | memory (14.8) | $b\,B\,C\,(H/P)^2$ a feature map | `cascade.MAX_PIXELS` |
# | precision (14.9) | $u/(1 + u)$, $u = 2^{-8}$ in bfloat16 | `Denoiser` returns float32 |
#
# Departures from the paper, all in one place: our base predicts $x_0$ and not $\varepsilon$, and is meant for $w = 2$; the
# other two are not guided at all (the paper: $w = 8$), and were trained at levels up to 0.3; a dropped sentence is a cleared
# mask and not zeros; the text encoder has two million numbers where T5-XXL has 4,600 million; and our pictures show a small
# world.
#
# ### New words
#
# [cascade](GLOSSARY.md#c) · [stage](GLOSSARY.md#s) · [seed](GLOSSARY.md#s) · [bfloat16](GLOSSARY.md#b) ·
# [unit roundoff](GLOSSARY.md#u) · [feature map](GLOSSARY.md#f) · [compiled network](GLOSSARY.md#c)
#
# ### References
#
# - Saharia and others 2022, *Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding* (Imagen): sections 2.1
#   to 2.4 for the lines of `imagen`, figure 4 for the curves, section 6 for misuse and bias.
# - Ho and others 2022, *Cascaded Diffusion Models for High Fidelity Image Generation*: the cascade, and why its parts are
#   trained apart.
# - Higham 2002, *Accuracy and Stability of Numerical Algorithms*, chapter 2: rounding, and (14.9).
# - Birhane, Prabhu and Kahembwe 2021, *Multimodal datasets: misogyny, pornography, and malignant stereotypes*: an audit of pictures
#   taken from the web.
#
# ### Next
#
# There is no lesson 15. Train the base on pictures of your own, or take one of the things that this page says were not
# measured, and measure it.
