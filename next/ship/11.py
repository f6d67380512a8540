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
# # 11 · Text to image: the base model
#
# Tell the denoiser a sentence, and it no longer has to guess what the page shows; what the sentence is worth can be read off the
# loss, in bits.
#
# **Where this stands.** Lessons 02 to 09 built a diffusion model that can be told a class. Lesson 10 turned a sentence into one
# vector a token. Here the two meet: the sentence goes into the U-Net, and the U-Net learns to draw what it says, first a small one
# that you train in this notebook, then the one that comes with minimagen. It is the first stage of Imagen's cascade, the **base
# model**.
#
# **Proof number.** In our small world a caption says one of 64 things, so it is worth $\log_2 64 = 6$ bits. You will find the same
# 6.0 bits without counting any captions, as the area between two loss curves: one of a denoiser that is told, one of a denoiser
# that is not.

# %% [markdown]
# ## What you will be able to do
#
# - derive the variational bound of lesson 03 for pictures with captions, and say what in it the caption changes;
# - join the words to attention's keys and values by hand, and compute how much a pixel listens to them;
# - pool a sentence into the embedding of the noise level, and drop it without a second code path;
# - train a text-conditional model, read its loss by noise level against the best possible loss, and measure whether it obeys;
# - say what the shipped base model can do, what it cannot, and on how many captions that was measured.
#
# You need: lessons 03, 04, 05, 08 and 10.
#
# Your time: 90 minutes, exercises included.
#
# Measured run time: 129 s on one thread, most of it training.
#
# Every symbol stands in [NOTATION.md](NOTATION.md), every new word in [GLOSSARY.md](GLOSSARY.md).

# %% [markdown]
# ## Set-up
#
# One cell. This lesson trains on all the cores that your machine has, so the last digits differ from machine to machine; where that
# matters we print a verdict and no digits.

# %% tags=["setup"]
import itertools
import json
import math
import textwrap

import ipywidgets
import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from minimagen import checks, evaluate, layers, lesson, noise, pixels, samplers, shapes, training
from minimagen.cascade import Cascade
from minimagen.conditioning import Cond
from minimagen.denoiser import Denoiser
from minimagen.guidance import drop_text, guided
from minimagen.ideal import Ideal
from minimagen.shapes import Placed, render
from minimagen.text import TextEncoder
from minimagen.unet import UNet, UNetConfig

lesson.setup(seed=11, threads=None)
encoder = TextEncoder("shipped", device="cpu")

# %% [markdown]
# ## Predict first
#
# Write down three guesses before you read on.
#
# 1. We hide a page under noise. Nearly clean, half hidden, or nearly nothing but noise: where does a caption help most?
# 2. One in ten training pictures loses its caption. Shown nothing but noise and told nothing, what does the trained network answer:
#    a random object, a sharp mean object, or a smear of all objects?
# 3. Our small network will see some tens of thousands of pages. Which will it get right first: the colour, the shape or the size?

# %% [markdown]
# ## Intuition: a world of 576 pages
#
# A page of our world is 16 pixels wide and shows one object: one of four shapes, in one of eight colours, small or large. That
# makes $4\cdot 8\cdot 2 = 64$ **sayings**, things that a caption can say. The object stands at one of nine places around the middle,
# of which the caption says nothing. So there are 576 pages in all, and we can hold every one of them in memory. Remember that: in
# this world we will know exactly what the best possible denoiser does.

# %%
SHAPES, SIZES = ("circle", "triangle", "cross", "heart"), {"small": 0.2, "large": 0.34}  # half the extent; the page is 1 wide
sayings = [(size, colour, shape) for size, colour, shape in itertools.product(SIZES, shapes.COLOURS, SHAPES)]


def page(saying, x, y):
    size, colour, shape = saying
    return pixels.from_uint8(render([Placed(shape, colour, 0.5 + x / 16, 0.5 + y / 16, SIZES[size])], 16))


places = list(itertools.product(range(-1, 2), repeat=2))  # pixels away from the middle
pages = torch.stack([torch.stack([page(saying, x, y) for x, y in places]) for saying in sayings])
print("sayings, places, colours, height, width:", tuple(pages.shape))

# %% [markdown]
# A saying has many **wordings**. Four of them are for training. A fifth is kept for the end: no training caption is worded like
# that.

# %%
WORDINGS = (
    "a {} {} {}",
    "a drawing of a {} {} {}",
    "{} {} {} on a white page",
    "there is a {} {} {}",
    "I would like to see one {} {} {} please",  # held out
)
captions = [wording.format(*saying) for wording in WORDINGS for saying in sayings]
text = encoder.encode(captions)  # 5 x 64 captions: saying i in wording w is row 64 w + i
print(f"states of {len(captions)} captions, up to {text.tokens.shape[1]} tokens of {text.tokens.shape[2]} numbers")
print(captions[0], "|", captions[-1])

# %%
some = [0, 13, 26, 39, 50, 63]
figure = lesson.strip(pages[some][:, [0, 4, 8]].transpose(0, 1), titles=["\n".join(sayings[i]) for i in some])
lesson.show(figure, alt="Six sayings as columns, such as a small red circle, each at three of its nine places on the page.")

# %% [markdown]
# *Figure 1. Six of the 64 sayings, each at three of its nine places. Notice how few pixels tell a small heart from a small triangle.*
#
# Now hide a page under noise and ask for the mean of all pages that could be underneath, each counted by how well it fits. Lesson
# 04 has shown that nothing can have a smaller squared error; the library's `Ideal` computes it. Ask twice: **untold**, about all
# 576 pages, and **told**, only about the nine pages that the caption allows.

# %%
everything = Ideal(pages.flatten(0, 1), labels=torch.arange(64).repeat_interleave(9))
levels = torch.tensor([-9.0, -4.0, -2.0, 1.0])
x0, told = pages[[26] * 4, [6] * 4], torch.tensor([26] * 4)
z = noise.diffuse(x0, levels, torch.randn(x0.shape, generator=torch.Generator().manual_seed(110)))
rows = torch.stack([z, everything(z, levels).x0, everything(z, levels, told).x0, x0])

# %%
names = ["noisy", "best guess,\nuntold", "best guess,\ntold", "the truth"]
figure = lesson.strip(rows, titles=[f"logsnr {level:g}" for level in levels], rows=names, side=1.5)
lesson.show(
    figure, alt="Four noise levels. Untold, the best guess is a grey smear at first; told, it has colour and size at once."
)
gap = [(rows[1, i] - rows[2, i]).square().mean().item() for i in range(4)]
print("the two guesses differ most at the strongest noise, and at logsnr 1 not at all:", gap[0] > gap[2] and gap[3] < 1e-3)

# %% [markdown]
# *Figure 2. The same page under less and less noise, and the best possible guess without and with its caption. Notice the first
# column: the told guess knows colour, shape and size at once, and only the place is blurred. In the last column the page speaks for
# itself.*
#
# That is the whole of text to image. The noise hides what the page shows, the caption says it, and the denoiser needs the
# caption exactly where the page no longer tells. What remains open in the caption, here the place, chance decides.

# %% [markdown]
# ## The bound, with a condition
#
# We write $c$ for the caption. What should a model of pictures with captions maximise? The probability that it gives to the picture
# when it is told the caption, $p_\theta(x_0 \mid c)$. As in lesson 03 this cannot be computed, because the model reaches $x_0$
# through all the noisy pages $x_T, \dots, x_1$ that may have come before. So we walk through lesson 03 again and watch where $c$
# comes in.
#
# - The forward process adds noise. It does so without reading the caption: $q(x_{1:T} \mid x_0)$ has no $c$.
# - The start is pure noise, whatever the caption: $p(x_T)$ has no $c$.
# - The reverse steps are told: $p_\theta(x_{t-1} \mid x_t, c)$.
#
# Multiply and divide by $q$ under the integral, which makes it a mean over $q$, and use Jensen's inequality ($-\log$ is convex, so
# $-\log$ of a mean is at most the mean of $-\log$):
#
# $-\log p_\theta(x_0\mid c) = -\log \mathbb{E}_q\!\left[\frac{p_\theta(x_{0:T} \mid c)}{q(x_{1:T} \mid x_0)}\right] \le
# \mathbb{E}_q\!\left[-\log\frac{p_\theta(x_{0:T} \mid c)}{q(x_{1:T} \mid x_0)}\right] =: L(x_0 \mid c)$.
#
# What was lost? Write the joint probability as $p_\theta(x_{0:T}\mid c) = p_\theta(x_0 \mid c)\,p_\theta(x_{1:T} \mid x_0, c)$. The
# first factor does not depend on what the mean runs over, so it comes out; what stays is a KL divergence:
#
# $$ L(x_0 \mid c) = -\log p_\theta(x_0 \mid c) + \operatorname{KL}\!\left(q(x_{1:T} \mid x_0)\,\|\,p_\theta(x_{1:T} \mid x_0, c)\right) \tag{11.1} $$
#
# It is (3.4) with a $c$ wherever a $\theta$ stands. For the check, a model with one noisy variable, in one dimension: $x_1 =
# \sqrt{0.5}\,x_0 + \sqrt{0.5}\,\varepsilon$, and $p_\theta(x_0 \mid x_1, c)$ has the mean $c + 0.6\,x_1$ and the deviation 0.7.
# Then everything is Gaussian: $x_0$ given $c$ has the mean $c$ and the variance $0.6^2 + 0.7^2$, and $x_1$ given both follows by
# the product of two bells. The left side is measured, as a mean over draws of $x_1$.

# %% tags=["eq-11.1"]
normal, kl = torch.distributions.Normal, torch.distributions.kl_divergence
c, x = torch.tensor([-1.0, 1.0]).double(), torch.tensor([0.8, 0.8]).double()  # the same x0, and two captions
noised = normal(0.5**0.5 * x, 0.5**0.5)
draws = noised.mean + noised.stddev * torch.randn(400_000, 2, generator=torch.Generator().manual_seed(111)).double()
bound = -(normal(0.0, 1.0).log_prob(draws) + normal(c + 0.6 * draws, 0.7).log_prob(x) - noised.log_prob(draws)).mean(0)
precision = 1 + 0.6**2 / 0.7**2  # of x1 given x0 and c
back = normal(0.6 / 0.7**2 * (x - c) / precision, precision**-0.5)
lesson.check("11.1", bound, -normal(c, (0.6**2 + 0.7**2) ** 0.5).log_prob(x) + kl(noised, back), 0.01)

# %% [markdown]
# So the bound is still a bound, for every caption separately. And the rest of lesson 03 goes through line by line: the same
# telescoping, the same Gaussian divergences, and at the end an error of a guess, which now reads the caption: $\hat x_\theta(z,
# \lambda, c)$. From (4.4) and (4.5), step $t$ costs $\frac12\left(e^{\lambda_{t-1}-\lambda_t} - 1\right)\|\varepsilon -
# \hat\varepsilon\|^2$. By (4.15) the error of the noise is $e^{\lambda_t}$ times the error of the picture, and with
# $\operatorname{SNR} = e^{\lambda}$ the step costs $\frac12\left(\operatorname{SNR}_{t-1} - \operatorname{SNR}_t\right)\|x_0 - \hat
# x_\theta\|^2$: half the signal gained, times the error. Make the steps finer and finer. The sum of heights times widths becomes an
# area:
#
# $$ L(x_0 \mid c) = \text{const} + \frac12\int e^{\lambda}\;\mathbb{E}\,\big\|x_0 - \hat x_\theta(z_\lambda, \lambda, c)\big\|^2\,d\lambda \tag{11.2} $$
#
# with $d\operatorname{SNR} = e^\lambda d\lambda$. The constant holds the two end terms, which depend neither on $\theta$ nor on
# $c$. The check: for one dimension and data $\mathcal N(m, s^2)$ the best error at the signal-to-noise ratio $u$ is the variance of
# $x_0$ given $z$; precisions add up, $1/s^2$ from the data and $u$ from $z$, so it is $s^2/(1 + us^2)$, and the area from $u_0$ to $u_1$ is $\frac12\log\frac{1 + u_1s^2}{1 + u_0s^2}$. The other route is the sum of the steps,
# 20,000 of them.

# %% tags=["eq-11.2"]
snr = torch.linspace(-10, 8, 20_001, dtype=torch.float64).exp()
error = 0.5**2 / (1 + snr[:-1] * 0.5**2)  # of the noisier end of each step, with s = 0.5
steps = (0.5 * snr.diff() * error).sum()
lesson.check("11.2", steps, 0.5 * math.log((1 + snr[-1] * 0.25) / (1 + snr[0] * 0.25)), 3e-3)


# %% [markdown]
# What is minimised in training is the inner part, the squared error of a guess that is told $c$, with the noise level drawn at
# random. Nothing else changes: **a text-conditional model is trained with the loss of lesson 04, and the network gets one input
# more.**

# %% [markdown]
# ### The best guess, told and untold
#
# In our world the caption leaves nine pages, all equally likely. Bayes' theorem counts each by how well it explains $z$, exactly as
# in (4.8), but only those that the caption allows. With $c_i$ for the caption of page $i$ and $[\,\cdot\,]$ for 1 if true and 0
# otherwise:
#
# $$ \hat x(z, c) = \sum_{i} p(i \mid z, c)\; x^{(i)}, \qquad p(i \mid z, c) = \frac{[c_i = c]\; e^{-\|z - \alpha x^{(i)}\|^2/2\sigma^2}}{\sum_{i'} [c_{i'} = c]\; e^{-\|z - \alpha x^{(i')}\|^2/2\sigma^2}} \tag{11.3} $$
#
# The other route for the check is the score: by (4.12), read for $x_0$, the mean is $(z + \sigma^2\,\nabla_z \log p(z\mid
# c))/\alpha$, and autograd can differentiate the density of $z$, a sum of nine bells.

# %% tags=["eq-11.3"]
def best(z, logsnr, allowed):
    """z (B, 3, 16, 16), logsnr (B,), allowed (B, 576) bool -> the best guess, and how likely each page is."""
    alpha, sigma = noise.alpha_sigma(logsnr, 2)
    fits = -torch.cdist(z.flatten(1), alpha[0] * flat).square() / (2 * sigma**2)  # one noise level for the batch
    likely = fits.masked_fill(~allowed, -torch.inf).softmax(1)
    return (likely @ flat).unflatten(1, (3, 16, 16)), likely


# %%
flat, meaning = pages.flatten(0, 1).flatten(1), torch.arange(64).repeat_interleave(9)
logsnr = torch.tensor([-3.0]).double()
alpha, sigma = noise.alpha_sigma(logsnr, 1)
allowed, flat = (meaning == 26)[None], flat.double()
z = (alpha * flat[239] + sigma * torch.randn(768, generator=torch.Generator().manual_seed(113))).requires_grad_()
density = (-(z - alpha * flat[meaning == 26]).square().sum(1) / (2 * sigma**2)).logsumexp(0)
score = torch.autograd.grad(density, z)[0]
mine = best(z.detach().reshape(1, 3, 16, 16), logsnr, allowed)[0]
lesson.check("11.3", mine.flatten(), (z + sigma**2 * score) / alpha, 1e-6)

# %% [markdown]
# And untold? Then all 576 pages are allowed. Sort them by caption: the probability of page $i$ is that of its caption times that
# of the page when the caption is known, $p(i \mid z) = p(c_i \mid z)\,p(i \mid z, c_i)$. Put this into the sum over pages and
# collect those of one caption:
#
# $$ \hat x(z) = \sum_i p(i \mid z)\,x^{(i)} = \sum_c p(c \mid z)\;\hat x(z, c) \tag{11.4} $$
#
# The untold guess is a mixture of all told guesses, weighted by how much the noisy page already betrays of its caption. Under
# strong noise it betrays nothing, and the mixture is the smear of figure 2. That answers the second question: the best answer, and
# the trained network's, to noise without a word is a smear of all objects. In the check, the left side is one softmax over 576
# pages, the right side 64 softmaxes over nine, and the captions' shares come from `Ideal.classify`.

# %% tags=["eq-11.4"]
each = torch.stack([best(z.detach().reshape(1, 3, 16, 16), logsnr, (meaning == c)[None])[0][0] for c in range(64)])
share = Ideal(pages.flatten(0, 1).double(), labels=meaning).classify(z.detach().reshape(1, 3, 16, 16), logsnr).softmax(1)[0]
untold = best(z.detach().reshape(1, 3, 16, 16), logsnr, torch.ones(1, 576, dtype=torch.bool))[0][0]
lesson.check("11.4", torch.einsum("c,cijk->ijk", share, each), untold, 1e-6)


# %% [markdown]
# ### What words are worth
#
# How much smaller does the error get when we are told? Write $a = \hat x(z)$ and $b = \hat x(z, c)$, and go from $x_0$ to $a$ by
# way of $b$: $\|x_0 - a\|^2 = \|x_0 - b\|^2 + \|b - a\|^2 + 2\,(x_0 - b)\cdot(b - a)$. For a given $z$ and $c$ the second bracket
# is fixed and the first has the mean 0, since $b$ *is* the mean of $x_0$. So the mixed term vanishes in the mean (it is Pythagoras,
# as in (4.7)):
#
# $$ \mathbb{E}\,\|x_0 - \hat x(z)\|^2 - \mathbb{E}\,\|x_0 - \hat x(z, c)\|^2 = \mathbb{E}\,\|\hat x(z, c) - \hat x(z)\|^2 \tag{11.5} $$
#
# The gain is exactly how far the told guess moves away from the untold one. It can be large only where the two differ: under strong
# noise. We measure both sides at 29 noise levels, with each of the 576 pages under three noises and
# their opposites.

# %%
def errors(level, seed):
    """Squared errors untold and told, and the squared distance of the two guesses: means over all pages."""
    noises = torch.randn(3, 576, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    x0, levels, found = pages.flatten(0, 1), level.expand(576), []
    for eps in (*noises, *-noises):
        z = noise.diffuse(x0, levels, eps)
        untold, likely = best(z, levels, torch.ones(1, 576, dtype=torch.bool))
        likely = likely.reshape(64, 9, 64, 9)[range(64), :, range(64)]  # of the 9 pages of the caption itself
        told = (likely / likely.sum(2, keepdim=True).clamp(min=1e-30)) @ pages.flatten(2)
        untold, told, x = untold.flatten(1), told.flatten(0, 1), x0.flatten(1)
        found.append([(a - b).square().sum(1).mean() for a, b in ((x, untold), (x, told), (told, untold))])
    return torch.tensor(found).mean(0)


# %% tags=["eq-11.5"]
flat = flat.float()
grid = torch.linspace(-11, 3, 29)
error_untold, error_told, moved = torch.stack([errors(level, i) for i, level in enumerate(grid)]).T
lesson.check("11.5", (error_untold - error_told) / 768, moved / 768, 0.004)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.8, 3.0))
lesson.curves(
    grid, {"untold": error_untold / 768, "told": error_told / 768}, "log-SNR (nats)", "error of x0, a number", ax=axes[0]
)
worth = grid.exp() * (error_untold - error_told) / 2 / math.log(2)
lesson.curves(grid, {"what is told": worth}, "log-SNR (nats)", "bits a nat of noise level", ax=axes[1])
lesson.show(figure, alt="Left: best errors over the noise level, told below untold under strong noise. Right: a hill of bits.")
print("the hill's top lies between logsnr -4 and -1:", bool(-4 < grid[worth.argmax()] < -1))

# %% [markdown]
# *Figure 3. Left: the smallest possible error, untold and told. Right: their difference, weighted as the bound (11.2) weighs it.
# Notice that the caption lowers the error most where there is nothing but noise, but is worth most in the bound a little later,
# where the page is about to betray what it shows.*
#
# Your first guess depends on what "helps" means, then: to the error, most at pure noise; to the bound, around log-SNR $-2$. To the
# right of 1 the words are worth nothing at all: the page shows them. That is one reason why so much of text to image is decided in
# the first few steps of sampling.
#
# Now the area under the hill. By (11.2) the bound of the untold and the told denoiser differ by half the integral of the difference
# of their errors, because the constants are the same. And for the *best* denoisers, with steps as fine as we like, the bound is no
# bound but equal to the mean of $-\log p$ (lesson 03: what remains is the gap at the two ends). Untold, each page has the
# probability $1/576$; told, $1/9$. So
#
# $$ \frac12\int e^{\lambda}\left(\mathbb{E}\|x_0 - \hat x(z)\|^2 - \mathbb{E}\|x_0 - \hat x(z,c)\|^2\right)d\lambda = \log 576 - \log 9 = \log 64 \tag{11.6} $$
#
# The left side knows nothing of sayings; it is made of squared errors of pixels. In information theory the right side is the
# **mutual information** of picture and caption, and the identity, for Gaussian noise, goes back to Guo, Shamai and Verdú. We check
# it with the measured errors, to a few per cent of a nat; the proof at the end of this lesson comes back to it.

# %% tags=["eq-11.6"]
area = torch.trapezoid(grid.exp() * (error_untold - error_told), grid) / 2
lesson.check("11.6", area, math.log(64), 0.15)


# %% [markdown]
# ## Where the sentence enters the network
#
# Nobody has the 576 pages of the real world. A network must learn the told guess from examples, and for that it has to read.
# Imagen lets the sentence in at two doors: each pixel may look at each word, in attention; and a summary of the whole sentence is
# added to the embedding of the noise level, which steers every block. We take them in turn.
#
# ### The first door: words among the pixels
#
# Lesson 05's attention lets a pixel look at all pixels: a query $q_i$ for the pixel that looks, keys $k_j$ and values $v_j$ for the
# pixels it looks at. Lesson 10 gave us one state $\tau_l$ for each word. Make a key $k'_l$ and a value $v'_l$ of each, by one
# linear layer, and put them into the same list. With $m_l$ for the mask (1 for a word, 0 for padding):
#
# $$ o_i = \frac{\sum_j e^{q_i\cdot k_j/\sqrt d}\;v_j + \sum_l m_l\,e^{q_i\cdot k'_l/\sqrt d}\;v'_l}{\sum_j e^{q_i\cdot k_j/\sqrt d} + \sum_l m_l\,e^{q_i\cdot k'_l/\sqrt d}} \tag{11.7} $$
#
# One softmax over pixels and words together: they compete for the pixel's attention. The code is the formula, with loops hidden in
# matrix products. The other route is the library's layer, an `Attention` of 32 channels with one head, without its residual line.

# %% tags=["eq-11.7"]
def joined(q, k, v, text_k, text_v, mask):
    """q, k, v (B, N, d), text_k, text_v (B, L, d), mask (B, L) -> (B, N, d)."""
    root = q.shape[-1] ** 0.5
    pixels_say, words_say = (q @ k.mT / root).exp(), (q @ text_k.mT / root).exp() * mask[:, None]
    return (pixels_say @ v + words_say @ text_v) / (pixels_say.sum(2) + words_say.sum(2))[..., None]


# %%
torch.manual_seed(117)
block, picture = layers.Attention(32, encoder.width, 32, "self"), torch.randn(2, 32, 4, 4)
block.project.weight.data = torch.eye(32)[..., None, None]  # let through what attention gives
sentence = text[torch.tensor([0, 200])]
h = block.norm(picture)
h = h + layers.positions(4, 4, 32, h)
as_rows = lambda x: x.flatten(2).mT
k, v = block.key_value(h).chunk(2, 1)
text_k, text_v = block.text_key_value(sentence.tokens).chunk(2, 2)
mine = joined(as_rows(block.query(h)), as_rows(k), as_rows(v), text_k, text_v, sentence.mask)
library = block(picture, block.read(sentence.tokens), sentence.mask) - picture
lesson.check("11.7", mine.mT.reshape(2, 32, 4, 4), library, 1e-5)

# %% [markdown]
# How much does a pixel listen to the sentence at all? Let $a_i = \log\sum_j e^{q_i\cdot k_j/\sqrt d}$ be how loudly all pixels
# together call it and $b_i$ the same for the words. Divide each half of (11.7) by its own sum, and the halves become two ordinary
# attentions, to the page and to the text, mixed by a gate:
#
# $$ o_i = (1 - g_i)\;o_i^{\text{page}} + g_i\;o_i^{\text{text}}, \qquad g_i = \frac{e^{b_i}}{e^{a_i} + e^{b_i}} = \operatorname{sigmoid}(b_i - a_i) \tag{11.8} $$
#
# So joining the keys is not the same as adding a second attention for the text (**cross-attention**, which Imagen's largest network
# has instead): each pixel decides for itself, between 0 and 1, whether it would rather hear words or look around. Exercise 11.4
# builds the gate. Here the two halves come from PyTorch's own attention, one call each.

# %% tags=["eq-11.8"]
q, k, v = (as_rows(part) for part in (block.query(h), k, v))
words_call = (q @ text_k.mT / 32**0.5).masked_fill(~sentence.mask[:, None], -torch.inf).logsumexp(2)
gate = torch.sigmoid(words_call - (q @ k.mT / 32**0.5).logsumexp(2))[..., None]
look = F.scaled_dot_product_attention(q, k, v)
listen = F.scaled_dot_product_attention(q, text_k, text_v, attn_mask=sentence.mask[:, None])
lesson.check("11.8", (1 - gate) * look + gate * listen, mine, 1e-5)

# %% [markdown]
# What may a word do that a class label could not? A label is one vector for the whole picture. Here a pixel in the upper half can
# listen to one word and a pixel in the lower half to another, and that is what "a red circle above a blue square" needs. In our
# world of single objects it is a luxury; in the world of the shipped base model it is not.
#
# ### The second door: a summary beside the noise level
#
# The residual blocks do not attend. They read the embedding of the noise level and scale and shift their channels by it, (5.8). So
# the sentence is boiled down to one vector and added there. Which words count in the summary is learned: one score for each state,
# a softmax over the words, a weighted mean, and a small network $M$ of two layers behind it:
#
# $$ e = T\big(\gamma(\lambda)\big) + M\Big(\sum_{l} p_l\,\tau_l\Big), \qquad p_l = \frac{m_l\,e^{u\cdot\tau_l}}{\sum_{l'} m_{l'}\,e^{u\cdot\tau_{l'}}} \tag{11.9} $$
#
# where $T$ is the small network behind the waves of (5.2). Lesson 10 showed that a pool mixes up whose colour is whose; it is a
# second door, not the only one. The check runs the formula as a loop over the words of one caption after another, without any mask:
# what is padding does not even occur.

# %%
torch.manual_seed(119)
plain = layers.TextReader(encoder.width, emb=64)


def summary(states, reader):
    """states (L, D) of one sentence's words, the null token among them -> its summary (64,), word by word."""
    loud = [math.exp(reader.score(state).item()) for state in states]
    return reader.mlp(sum(w * state for w, state in zip(loud, states, strict=True)) / sum(loud))


# %% tags=["eq-11.9"]
tokens, mask, pooled = plain(sentence)
by_hand = torch.stack([summary(states[seen], plain) for states, seen in zip(tokens, mask, strict=True)])
lesson.check("11.9", by_hand, pooled, 1e-5)

# %% [markdown]
# ### The word that is always there
#
# `tokens` has one row more than the sentence. The first is the **null token** of lesson 08: a vector of its own, learned like any weight,
# which the mask never hides. To drop a caption is to clear its mask; then (11.7) and (11.9) run as before over a sentence that has
# only this one word. Nothing else in the network needs to know. Without it, the second softmax would divide 0 by 0.
#
# Three ways of saying nothing must then come out alike: the mask cleared; another sentence with its mask cleared; no text at all.
# Between the first two the difference is exactly 0, not nearly: what is masked is multiplied by 0. (No text at all is a shorter
# sum, which rounds otherwise.) And a caption must of course make a difference. We test a fresh network whose zero layers are shaken
# up.

# %%
config = UNetConfig(32, (1, 2), (1, 1), (None, "self"), text_width=encoder.width, neighbours=1, patch=2)
torch.manual_seed(120)
shaken = UNet(config)
for parameter in shaken.parameters():
    parameter.data += 0.05 * torch.randn(parameter.shape)

# %%
z, logsnr = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(121)), torch.zeros(2)
one, other = Cond(text[torch.tensor([0, 1])]), Cond(text[torch.tensor([40, 50])])
with torch.no_grad():
    silent = [shaken(z, logsnr, cond) for cond in (one.without_text(), other.without_text())]
    nothing, spoken = shaken(z, logsnr), shaken(z, logsnr, one)
print("two cleared sentences differ by", (silent[0] - silent[1]).abs().max().item())
torch.testing.assert_close(silent[0], nothing, rtol=0, atol=1e-4)
print("and a caption changes the answer:", bool((spoken - nothing).abs().max() > 0.01))

# %% [markdown]
# > **Reading the article with care.** The article says that the text's embedding conditions the diffusion model, as if it were one
# > more input. It is two: all states, as keys and values of attention, and their pool, in the embedding of the noise level. And of
# > classifier-free guidance it says that a *gradient* is dropped at random during training. What is dropped is the condition: here,
# > one caption in ten. Imagen zeroes the embeddings for it, which leaves words that say nothing; we clear the mask and leave one
# > word that says "nothing". That is a difference from the paper.
#
# ### States as loud as their meaning
#
# One practical thing, without which the training below would not get far in our few minutes. The states of a small encoder have a
# large common part: all words of all sentences point much the same way, and what sets "red" off from "blue" is small beside it. A
# linear layer can take out the common part and stretch the rest until all directions are equally loud. That is **whitening**. Let
# $\bar\tau$ be the mean and $C$ the covariance of the words of many captions, with eigenvalues $\xi_1 \ge \xi_2 \ge \dots$ and
# eigenvectors in the columns of $V$:
#
# $$ w = W(\tau - \bar\tau), \qquad W = V\,\operatorname{diag}\!\left(\frac{1}{\sqrt{\xi_i + \epsilon\xi_1}}\right) V^\top \tag{11.10} $$
#
# The covariance of $w$ is $W C W^\top$; with $C = V\operatorname{diag}(\xi)V^\top$ its eigenvalues are $\xi_i/(\xi_i +
# \epsilon\xi_1)$: 1 wherever there is anything to hear, and 0 where there was nothing; the small $\epsilon = 10^{-4}$ keeps
# rounding errors from being blown up. The library's `begin_white` sets a layer to this and then lets it learn on. Behind it stand
# two short convolutions along the sentence, by which a word hears its neighbours (`neighbours=1` above); they begin at zero. Layer
# and convolutions together are the **adapter** of our small encoder; Imagen, with its T5-XXL, needs none. We whiten the training
# captions and measure the covariance of what comes out.

# %% tags=["eq-11.10"]
reader = shaken.reader
known = text[: 4 * 64]  # the wordings of training
reader.begin_white(known)
with torch.no_grad():
    words = reader.norm(known.tokens)[known.mask]
    white = reader.whiten(words).double()
loudness = torch.linalg.eigvalsh(words.double().T.cov())
lesson.check("11.10", torch.linalg.eigvalsh(white.T.cov()), loudness / (loudness + 1e-4 * loudness.max()), 1e-3)
common = words.mean(0).square().sum() / words.square().sum(1).mean()
print(f"share of the common part in a state's square: {common:.0%}; after whitening none: {white.mean(0).norm() < 1e-3}")


# %% [markdown]
# ## Training
#
# Everything is in place. A batch is 64 pages with a caption each: a saying, a place and a wording at random.

# %%
def batches(generator, size=64):
    while True:
        saying, place, wording = (torch.randint(n, (size,), generator=generator) for n in (64, 9, 4))
        yield pages[saying, place], Cond(text[64 * wording + saying])


x0, cond = next(batches(torch.Generator().manual_seed(122)))
print(tuple(x0.shape), tuple(cond.text.tokens.shape))

# %% [markdown]
# The network is a U-Net of two levels with attention at the lower one, the denoiser predicts $x_0$, and errors are weighted by
# $1/\sigma^2$ up to a cap, as lesson 04 derived for $v$ (`velocity_weight`). The network folds $2\times 2$ pixels into channels
# first, which makes it four times cheaper.
#
# One more choice, and figure 3 makes it. The cosine schedule has as many levels above log-SNR 0 as below; but above 1 the words
# are worth nothing, and the page shows itself. So we practise at the cosine's levels *less 2*, where the hill of bits stands. It
# costs nothing, and only training does it: sampling walks down the cosine as before.

# %%
torch.manual_seed(11)
denoiser = Denoiser(UNet(config), "x0").to(memory_format=torch.channels_last)
denoiser.net.reader.begin_white(known)
print(f"{sum(p.numel() for p in denoiser.parameters()) / 1e6:.2f} million parameters")


# %% [markdown]
# ### Does it obey? Reading attributes off a page
#
# A loss does not tell whether the network draws what it is told. So we read its drawings: the nearest of the 576 pages says what a
# drawing shows. A reader must be tested before it judges. We give it pages that it does not have, with the object at places
# *between* the nine, and with noise on top.

# %%
def seen(drawings):
    """drawings (B, 3, 16, 16) -> the saying of the nearest page, (B,)."""
    return torch.cdist(drawings.flatten(1), pages.flatten(0, 1).flatten(1)).argmin(1) // 9


g = torch.Generator().manual_seed(123)
shifts = 2 * torch.rand(640, 2, generator=g) - 1
between = torch.stack([page(sayings[i % 64], *shift.tolist()) for i, shift in enumerate(shifts)])
right = seen(between + 0.1 * torch.randn(between.shape, generator=g)) == torch.arange(640) % 64
print("at least 99 % of 640 unknown renderings are read rightly:", bool(right.double().mean() >= 0.99))


# %% [markdown]
# A probe draws each of the 64 sayings twice, with the averaged weights (5.13), in 16 steps with guidance. The noise is the same in
# every probe, so that pictures of different times can be compared.

# %%
def drawn(model, wording, weight=3.0, copies=2):
    """Each saying `copies` times in one wording -> (copies * 64, 3, 16, 16)."""
    asked = Cond(text[64 * wording + torch.arange(64).repeat(copies)])
    z = torch.randn(64 * copies, 3, 16, 16, generator=torch.Generator().manual_seed(124))
    *_, last = samplers.sample(guided(model, asked, weight), samplers.steps(noise.cosine, 16), z, samplers.ddim())
    return last.x0


def obeyed(drawings):
    """The share of drawings that are right in size, colour, shape and in everything."""
    pairs = [(sayings[i], sayings[j % 64]) for j, i in enumerate(seen(drawings).tolist())]
    parts = [sum(a[k] == b[k] for a, b in pairs) / len(pairs) for k in range(3)]
    return [*parts, sum(a == b for a, b in pairs) / len(pairs)]


def nearness(drawings):
    """How far the drawings are from the nearest page: root of the mean squared distance a number."""
    return torch.cdist(drawings.flatten(1), pages.flatten(0, 1).flatten(1)).amin(1).square().mean().div(768).sqrt().item()


# %% [markdown]
# Now the training itself. `train` gives one step after the other; `drop_text` takes one caption in ten away; `LossLog` sorts the
# losses by noise level; `averaged` keeps the averaged weights.

# %%
STEPS, PROBES = 900, (75, 150, 300, 600, 900)
generator = torch.Generator().manual_seed(125)
optimizer = torch.optim.AdamW(denoiser.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=0.01)
ema, log = training.averaged(denoiser, 0.995), training.LossLog()
stream = drop_text(batches(generator), 0.1, generator)
noisier = lambda t: noise.cosine(t) - 2
steps = training.train(denoiser, stream, noisier, optimizer, weight=training.velocity_weight, generator=generator)

# %%
losses, lines, sheets = [], {}, {}
for number, step in zip(range(1, STEPS + 1), steps, strict=False):
    ema.update_parameters(denoiser)
    log.add(step)
    losses.append(step.loss)
    for group in optimizer.param_groups:
        group["lr"] = 2e-3 * training.warm_then_cool(number, STEPS, 50)
    if number in PROBES:
        lines[number], sheets[number] = log.line(), drawn(ema.module, 0)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.8, 3.0))
axes[0].semilogy(range(1, STEPS + 1), losses, color=lesson.COLOURS[4], linestyle="-", linewidth=0.6)
axes[0].semilogy(range(25, STEPS + 1), torch.tensor(losses).unfold(0, 25, 1).mean(1), linestyle="-")
axes[0].set(xlabel="step", ylabel="weighted loss")
shares = torch.tensor([obeyed(sheets[number]) for number in PROBES]).T
kinds = dict(zip(("size", "colour", "shape", "all three"), 100 * shares, strict=True))
lesson.curves(PROBES, kinds, "step", "right drawings (%)", ax=axes[1])
lesson.show(figure, alt="Left: a falling, scattered loss. Right: shares of right size, colour and shape rise to above 90 %.")
print("at step 300 the shape is behind size and colour:", bool(shares[2, 2] < min(shares[0, 2], shares[1, 2])))
print("at least 90 % of the sayings are drawn with all three right:", bool(shares[3, -1] >= 0.9))

# %% [markdown]
# *Figure 4. Left: the loss of each step, and its mean over 25. Right: what the averaged network draws, read off 128 drawings at a
# time. Notice that on the left the second half of the training looks like very little, while on the right it decides between
# a heart and a triangle.*
#
# Your third guess: the size first, it is a matter of large areas. Colour and shape may run side by side for a while, but the shape is
# the last to be always right: it is a matter of a few pixels.

# %%
some = [26, 5, 50, 15, 36, 62]
rows = torch.stack([sheets[number][some] for number in PROBES])
titles = ["\n".join(sayings[i]) for i in some]
figure = lesson.strip(rows, titles=titles, rows=[f"step {number}" for number in PROBES], side=1.1)
lesson.show(figure, alt="Six sayings drawn at five times of training: first coloured smears, then shapes with edges.")
print("drawings come nearer to a page of the world:", bool(nearness(sheets[PROBES[0]]) > 1.5 * nearness(sheets[PROBES[-1]])))

# %% [markdown]
# *Figure 5. The same noise, the same sentences, five times. Notice the order: first an object is large or small, then it
# has its colour, then an outline. The place, which no sentence gives, hardly moves from row to row: the noise decides it.*

# %% [markdown]
# ### How to read the curve
#
# The mean loss is a bad witness. It is a mean over all noise levels, and how hard the task is changes over them by a factor of
# thousands; so it scatters by the luck of the levels in a batch. And its floor is not 0: even the best denoiser pays (11.3)'s
# error. So sort the losses by noise level, and hold each level against its own floor. Nine bins, as `LossLog` has them; the floor
# is what we measured for figure 3, told for nine pages out of ten and untold for the tenth.

# %%
centres = [(a + b) / 2 for a, b in itertools.pairwise(training.LossLog.EDGES)]
inside = [i for i, centre in enumerate(centres) if -11 < centre < 1.5]
figure, ax = plt.subplots(figsize=(7.0, 3.4))
lesson.curves(grid, {"floor, untold": error_untold / 768, "floor, told": error_told / 768}, "", "", ax=ax)
for number in (PROBES[0], PROBES[1], PROBES[-1]):
    ax.plot([centres[i] for i in inside], [lines[number]["by_level"][i] for i in inside], "o", label=f"up to step {number}")
ax.set(xlabel="log-SNR (nats)", ylabel="error of x0, a number", yscale="log", ylim=(1e-4, 1.0))
ax.legend(fontsize=8)
lesson.show(figure, alt="Errors by noise level: the first dots lie above the untold floor, the last near the told one.")


# %% [markdown]
# *Figure 6. The errors of training by noise level (dots, each a mean since the dots before), and the two floors of figure 3
# (lines). Notice the left: the first dots lie above the untold floor; the network does not know yet what a page looks like. It
# learns that, and to read, so the dots fall through the untold floor towards the told one. They cannot quite reach it, since
# one caption in ten is dropped.*
#
# Three things to look for in such a curve, also in that of a large model:
#
# - **On the left, is the loss below the untold floor?** If not, the sentence does not arrive. For real pictures nobody knows the
#   floor, but one can measure it: shuffle the captions of a batch, and see whether the loss rises. If it does not, the network does
#   not read.
# - **In the middle, does it still fall?** That is where shapes are decided. It is a small part of the mean loss, and most of what
#   one sees.
# - **On the right, is it near 0?** If not, the network cannot copy what it plainly sees, and something is wrong with skips or
#   scaling.

# %% [markdown]
# ### Does it read all that the words say?
#
# For the best denoisers the gain from the words was (11.5). For the trained network we measure it in the same way: its errors with
# and without the caption. Under strong noise, where the page itself says nothing, the gain shows how much of the caption arrives.

# %%
def network_errors(model, level, seed, count=320):
    """The network's squared errors, untold and told, on `count` pages: means."""
    g = torch.Generator().manual_seed(seed)
    saying, levels = torch.randint(64, (count,), generator=g), level.expand(count)
    x0 = pages[saying, torch.randint(9, (count,), generator=g)]
    z = noise.diffuse(x0, levels, torch.randn(x0.shape, generator=g))
    asked = Cond(text[saying])
    with torch.no_grad():
        guesses = [model(z, levels, cond).x0 for cond in (asked.without_text(), asked)]
    return torch.stack([(x0 - guess).square().flatten(1).sum(1).mean() for guess in guesses])


# %%
trained = ema.module.eval()
net_untold, net_told = torch.stack([network_errors(trained, level, 200 + i) for i, level in enumerate(grid[::2])]).T
strong = grid[::2] <= -5
gain = ((net_untold - net_told)[strong].mean() / (error_untold - error_told)[::2][strong].mean()).item()
lines_of = {"untold": net_untold, "told": net_told, "floor, untold": error_untold[::2], "floor, told": error_told[::2]}
lines_of = {name: line / 768 for name, line in lines_of.items()}
figure = lesson.curves(grid[::2], lines_of, "log-SNR (nats)", "error of x0, a number")
figure.axes[0].set(yscale="log", ylim=(1e-4, 0.5))
lesson.show(
    figure, alt="The network's errors, told and untold, lie on their floors under strong noise, above under weak noise."
)
print("under strong noise the network gains at least 80 % of what the words can give:", 0.8 < gain < 1.2)
net_area = torch.trapezoid(grid[::2].exp() * (net_untold - net_told), grid[::2]) / 2 / math.log(2)
print("its area is more than twice the six bits:", bool(net_area > 12))

# %% [markdown]
# *Figure 7. The trained network told and untold, and the two floors. Notice that under strong noise each lies on its floor: one
# network has learned both tasks, from one caption in ten dropped. Under weak noise both lie far above, the untold one further.*
#
# So the words arrive. What is missing is fine drawing, on the right, where the best denoiser makes no error at all. One warning: do
# not take the area (11.6) of *these* two curves for bits. It comes out several times too large. (11.6) is the difference of two
# bounds that are both tight; for a trained network neither is, and the untold task, with a tenth of the practice, is further from
# its floor.
#
# Is it remarkable that both tasks fit into one network? With the drop rate $\rho$ the expected loss is $(1-\rho)$ times the told
# loss plus $\rho$ times the untold one, and the network can see which task it has, since the mask tells. So the best answers do not
# depend on $\rho$ at all: told, it is (11.3); untold, (11.4). The rate decides only how much practice each task gets (exercise
# 11.3).

# %% [markdown]
# ### A sentence that it has never read
#
# Now the fifth wording, "I would like to see one small red circle please". No training caption had it, and seven of its ten words
# are new to the network. They were not new to the text encoder, which was trained on text of its own.

# %%
fresh, old = obeyed(drawn(trained, 4)), obeyed(drawn(trained, 1))
print("right in the new wording, over 60 %:", fresh[3] > 0.6, "| in an old one, at least 90 %:", old[3] >= 0.9)


# %% [markdown]
# Most of it arrives, though not all: our network has never met words that mean nothing to it, and some of them move a drawing. It
# would have to practise passing over them. Remember this when we come to the training of the shipped base.

# %% [markdown]
# ## The shipped base model
#
# The base that comes with minimagen is the same thing, larger: 64 pixels, three levels, eight shapes, three sizes, up to three
# objects with "left of" and "above", some hundred wordings, and places anywhere on the page. It was
# trained for hours on two cores, in several legs, first at 32 pixels, where a picture costs a quarter, then at 64. Each leg left a
# log: one line every few hundred steps, with the losses by noise level that you now know how to read.

# %%
def legs():
    """The name of each leg of training, as its file has it, and the lines of its log."""
    files = {path.stem.split("-")[1]: path for path in lesson.checkout("data", "weights", "base").glob("log-*.jsonl")}
    for number in sorted(files, key=int):
        size, lines = files[number].stem.split("-")[2], files[number].read_text().splitlines()
        yield f"leg {number}, {size} pixels", [json.loads(line) for line in lines]


logs = dict(legs())
total = sum(line["pictures"] for log_ in logs.values() for line in log_)
print(f"{len(logs)} legs, {total / 1000:.0f} thousand pictures in all")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.8, 3.2), sharey=True)
for ax, level in zip(axes, (1, 3), strict=True):  # of the nine bins: strong noise, middling noise
    start = 0
    for name, log_ in logs.items():
        so_far = torch.tensor([line["pictures"] for line in log_]).cumsum(0) + start
        errors = [line["by_level"][level] for line in log_]
        ax.semilogy(so_far / 1000, errors, marker=".")
        number, size = name.removeprefix("leg ").split(", ")
        beside = f"{number}: {size[:2]}" if level == 3 else number
        middle = so_far.double().mean() / 1000
        ax.annotate(beside, (middle, max(errors)), (0, 4), textcoords="offset points", ha="center", fontsize=6)
        start = so_far[-1].item()
    low, high = training.LossLog.EDGES[level : level + 2]
    ax.set(title=f"log-SNR {low} to {high}", xlabel="pictures so far (thousands)", ylabel="error of x0, a number")
lesson.show(figure, alt="The losses of each leg of training at two noise levels: slow falls, and jumps from leg to leg.")

# %% [markdown]
# *Figure 8. The training of the shipped base, at strong noise (left) and at middling noise (right); a number is the leg, and beside it,
# on the right, are its pixels. Notice that the curve jumps where a leg begins, and that the right one falls much further than the
# left: most of the error on the left is a floor, the places that no caption tells.*
#
# Do not read a jump as progress or as harm. At the same log-SNR a picture of 64 pixels is easier to see than one of 32: four
# pixels show what one did, and by (5.1) averaging them halves the noise. The captions of the later legs are harder: stray words
# are strewn into them, so that the network learns to pass over what it does not know, and from leg 9 on half of them have each
# object's words in any order. And an emoji is harder to see through noise than a star: half of leg 5 were emoji, 3,000 different
# ones, and nothing came of it in that time; of legs 10 to 14 about half are the thousand that are named in one word, and legs 15
# to 22 have scenes of two of these. Watch leg 11 on the left, where the error falls as nowhere else: there the network learns which
# picture a word stands for, by heart.
# Only dots of one leg may be compared.
#
# ### Twelve drawings, none chosen
#
# We take the first captions that our test set has: four single objects in wordings that no training caption has, two more with a
# colour and a shape that never met in training, four pairs and two triples. Each is drawn once. The library's reader,
# `evaluate.alignment`, finds the objects on a page by their colours and outlines, and holds them against the caption in four parts:
# the right shapes and no others; their colours; their sizes; and how they stand to each other, if the caption says so. A drawing is
# right if all of it is.

# %%
cascade = Cascade.load(device="cpu")
KINDS = (("held-out", "single", 4), ("unseen", "single", 2), ("held-out", "pair", 4), ("held-out", "triple", 2))
asked = [shapes.Shapes(64, split, {kind: 1.0}).caption(i) for split, kind, count in KINDS for i in range(count)]
drawings = cascade.draw(asked, seed=3, size=64)[-1].clamp(-1, 1)
verdict = evaluate.alignment(drawings, asked)


# %%
def judged(i):
    """What the reader says of drawing i: right, or the first part that is wrong."""
    parts = [name for name in ("objects", "colours", "sizes", "relation") if name != "relation" or verdict.stated[i]]
    return next((f"wrong: {name}" for name in parts if not verdict.right[name][i]), "right")


figure = lesson.strip((8 * drawings).round().unflatten(0, (3, 4)) / 8, side=2.1)  # fewer tones make a smaller file
for i, ax in enumerate(figure.axes):
    ax.set_title("\n".join(textwrap.wrap(asked[i], 30)), fontsize=7)
    ax.set_xlabel(judged(i), fontsize=8, color=lesson.COLOURS[2 if verdict.right["all"][i] else 1])
    ax.spines[:].set(visible=True, color="lightgrey")
lesson.show(figure, alt="Twelve drawings of the shipped base, each with its caption above and the reader's verdict below.")
print("single objects right, at least 3 of 6:", bool(verdict.right["all"][:6].sum() >= 3))

# %% [markdown]
# *Figure 9. Twelve captions, the first drawing of each, and the reader's verdict. First row: single objects. Second row: two pairs
# of colour and shape that training never showed, then two captions with two objects. Third row: two more of these, then two with
# three objects. Notice below which drawings "wrong" stands, and with which part: that is where this network fails, and it is the
# network that you have.*
#
# ### How often is it right?
#
# Twelve drawings are no measurement. The files in `docs/evaluation` hold one: hundreds of captions of each kind, drawn once each,
# and the share that the reader finds right, with 95 % intervals from resampling the captions. The table and the figure print what
# the files say, for the weights that are shipped.

# %%
NAMES = ("single-held-out", "single-unseen", "pair-held-out", "triple-held-out")
files = {name: json.loads(lesson.checkout("docs", "evaluation", f"{name}.json").read_text()) for name in NAMES}
found = {name: file["right"] for name, file in files.items()}
print(f"{'right (%)':<17} captions   all  (interval)  objects  colours  sizes  relation")
for name, right in found.items():
    all_, low, high = (100 * right["all"][k] for k in ("share", "low", "high"))
    parts = [f"{100 * right[k]['share']:.0f}" if right[k] else "-" for k in ("objects", "colours", "sizes", "relation")]
    row = f"{name:<17} {files[name]['captions']:>8} {all_:>5.0f}  ({low:.0f} to {high:.0f})".ljust(46)
    print(row + "{:>7}{:>9}{:>7}{:>10}".format(*parts))

# %% [markdown]
# Read a row from the right to the left. *objects*: the page shows the shapes of the caption and no others. The next two count only
# where that holds: *colours*, each object has its own; *sizes* likewise. *relation* is the share of those captions alone that state
# one. *all* is a page with nothing wrong.
#
# Three things can be read off, and the cell below checks that they are so. **One object is easier than several**: each object
# that a caption names is one more that can go wrong. (Three are hardly harder than two. They fit on a page only if two of them at
# least are small, and size is what pairs lose most by: compare *colours* with *sizes*. What fails is mostly a medium one that comes
# out nearly large.) **What training never showed together is drawn all the same**,
# shape and colour right more often than not: the network has not learned a list of pairs, it has put "red" and "star" together.
# And **colours hardly fail on their own**: where a pair has the right shapes, its colours nearly always sit on the right ones.
# Lesson 10 has shown that a pooled vector cannot say whose colour is whose; here the words came in at the first door as well.

# %%
single, unseen, pair, triple = found.values()
several = max(pair["all"]["share"], triple["all"]["share"])
print("one object is right more often than two or three:", single["all"]["share"] > several)
print("never-seen pairs of colour and shape, over half right:", unseen["colours"]["share"] > 0.5)
print("of two right shapes, the colours right too in 9 of 10:", pair["colours"]["share"] > 0.9 * pair["objects"]["share"])


# %% [markdown]
# The last piece is the guidance weight. The shipped base draws with the weight in its settings; `docs/evaluation/curves.json`
# holds the same measurement at other weights, on fewer captions.

# %%
def dots(ax, x, points, middle, **style):
    """Shares in per cent with their intervals."""
    y, low, high = (100 * torch.tensor([point[k] for point in points]) for k in (middle, "low", "high"))
    ax.errorbar(x, y, torch.stack([y - low, high - y]).clamp(min=0), capsize=3, **style)


curve = json.loads(lesson.checkout("docs", "evaluation", "curves.json").read_text())
static = sorted((p for p in curve["points"] if p["threshold"] == "static"), key=lambda p: p["weight"])
weights = [p["weight"] for p in static]

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.8, 3.3), sharey=True)
for part, mark, shift in (("all", "o", -0.08), ("objects", "s", 0.08)):
    dots(axes[0], torch.arange(4) + shift, [right[part] for right in found.values()], "share", marker=mark, linestyle="none")
    dots(axes[1], weights, [p["right"][part] for p in static], "value", marker=mark, label=part)
axes[0].set(xticks=range(4), xticklabels=[name.replace("-", "\n", 1) for name in NAMES], ylim=(0, 100), ylabel="right (%)")
axes[1].set(xlabel="guidance weight w", xscale="log")
axes[1].set_xticks(weights, [f"{w:g}" for w in weights], fontsize=8)
axes[1].minorticks_off()
axes[1].legend(fontsize=8, loc="lower left")
lesson.show(figure, alt="Left: single objects are right more often than two or three. Right: over w shares rise, then fall.")
best_weight = max(static, key=lambda p: p["right"]["all"]["value"])["weight"]
print("the best weight is neither the smallest nor the largest:", weights[0] < best_weight < weights[-1])

# %% [markdown]
# *Figure 10. Left: the shares of the table with their 95 % intervals. Right: single objects in new wordings, over the guidance
# weight $w$, with a static threshold. Notice that the curve on the right has a top: without guidance ($w = 1$) the drawings obey
# less, and far beyond it they are pushed out of shape (lessons 08 and 09).*
#
# One point of the table is drawn anew, with other noise: 16 captions of its first row. With the share $p$ of the file, the number
# right among 16 has the mean $16p$ and the deviation $\sqrt{16\,p(1-p)}$, a binomial law. More than three deviations from the mean
# would say that file and weights do not belong together.

# %%
data = shapes.Shapes(64, "held-out", {"single": 1.0})
new = [data.caption(i) for i in range(16)]
again = evaluate.alignment(cascade.draw(new, seed=50, size=64)[-1].clamp(-1, 1), new).right["all"]
p = single["all"]["share"]
near = abs(again.sum().item() - 16 * p) <= max(3 * (16 * p * (1 - p)) ** 0.5, 1.5)
print(f"for instance: {new[0]!r}; 16 new drawings agree with the file: {near}")


# %% [markdown]
# ## Move it yourself
#
# A prompt box. It asks the small network that *you* have trained, so it knows its 64 sayings and no more; whatever you type is
# encoded, handed over, and drawn four times from four noises. The line above says what the reader sees in each.

# %%
def draw(sentence, weight):
    asked = Cond(encoder.encode([sentence] * 4))
    z = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(126))
    *_, last = samplers.sample(guided(trained, asked, weight), samplers.steps(noise.cosine, 16), z, samplers.ddim())
    names = ["\n".join(sayings[i]) for i in seen(last.x0).tolist()]
    return lesson.strip(last.x0, titles=names, rows=[f"w = {weight:g}"], side=1.5)


figure = draw("a large blue heart", 3.0)
titles = [ax.get_title() for ax in figure.axes]
print("four large blue hearts, by the reader, at least 3:", sum(title == "large\nblue\nheart" for title in titles) >= 3)
lesson.show(figure, alt="Four drawings of a large blue heart by the small network, a pixel or two apart.")

# %% [markdown]
# *Figure 11. Four drawings of one sentence. Notice that they differ in place alone, by a pixel or two: the one thing that was not
# said.*
#
# Try: "heart" alone, "blue" alone, nothing, "a green blue circle", "a circle that is not red", your own name. What the network has
# never been told it answers from what it has: watch which words it passes over. And try $w = 0$: the untold network draws anything.

# %% tags=["widget", "nbval-ignore-output"]
line = ipywidgets.Text(value="a small orange heart", description="sentence", continuous_update=False)
slider = ipywidgets.FloatSlider(value=3.0, min=0.0, max=8.0, step=0.5, description="weight w", continuous_update=False)
words = "Four drawings by the small network for the sentence in the box, here a small orange heart."
lesson.explore(draw, alt=words, sentence=line, weight=slider)

# %% [markdown]
# ## Now the library
#
# Three library functions stand for what you did by hand: `layers.Attention` for (11.7), `layers.TextReader` for (11.9), and
# `Cond.without_text` for dropping. The best guess (11.3) is `ideal.Ideal` with labels. They agree with yours.

# %%
z, levels = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(127)), torch.full((4,), -2.0)
which = torch.tensor([3, 20, 41, 63])
torch.testing.assert_close(everything(z, levels, which).x0, best(z, levels, which[:, None] == meaning)[0], rtol=0, atol=1e-4)
torch.testing.assert_close(library, mine.mT.reshape(2, 32, 4, 4), rtol=0, atol=1e-5)
torch.testing.assert_close(pooled, by_hand, rtol=0, atol=1e-5)
dropped = next(drop_text(batches(torch.Generator().manual_seed(128)), 1.0))[1]
print("dropped captions leave no word:", not dropped.text.mask.any(), "| everything agrees")


# %% [markdown]
# ## Exercises
#
# Four, of 10 points. Each answer is judged by the cell below it.

# %% [markdown]
# ### Exercise 11.1 · Does the page show what was asked? (3 points, 12 minutes)
#
# Our reader compared one object with one saying. For several objects that is not enough. Write `obeys(asked, seen)`: `asked` is a
# list of triples
# `(shape, colour, size)` as a caption gives them, where colour or size is `None` if the caption leaves it open; `seen` is a list of triples
# as a reader found them on the page, in any order. Return `True` if the page shows exactly what was asked: every object asked for
# is there, each seen object serves for one of them only, and nothing else is on the page.
#
# <details><summary>Hint 1: the idea</summary>
#
# "A red circle and a circle" on a page with a red and a blue circle: which of the two is the open one? Whoever gives the red circle
# to the open mention first gets stuck. Try all ways of giving objects to mentions.
# </details>
#
# <details><summary>Hint 2: the formula</summary>
#
# The page obeys if there is *an* order of `seen` in which, for *all* mentions, each part is `None` or equal to that of the object
# at the same place. And the two lists must be equally long.
# </details>
#
# <details><summary>Hint 3: the shape of the code</summary>
#
# `itertools.permutations(seen)`, one `any` outside and one `all` inside.
# </details>

# %% tags=["answer-11.1"]
def obeys(asked, seen):
    """asked: [(shape, colour or None, size or None), ...], seen: [(shape, colour, size), ...] -> bool."""
    ### BEGIN SOLUTION
    if len(asked) != len(seen):
        return False
    fits = lambda mention, there: all(a is None or a == b for a, b in zip(mention, there, strict=True))
    return any(all(map(fits, asked, order)) for order in itertools.permutations(seen))
    ### END SOLUTION


# %% tags=["grade-11.1"]
checks.ex_11_1(obeys)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# A score of a text-to-image model is as good as its smallest print. Whether an extra object is forgiven, whether one red circle may
# serve for two: such choices move the result by more than a new method does. `evaluate.alignment` is this function, with relations.
# </details>

# %% [markdown]
# ### Exercise 11.2 · Whose weights are in the average? (2 points, 10 minutes)
#
# The pictures above were drawn with averaged weights. Update 0 copies the weights, $\bar w_0 = w_0$; update $n \ge 1$ makes $\bar
# w_n = d_n\,\bar w_{n-1} + (1-d_n)\,w_n$ with $d_n = \min\left(\delta, \frac{1+n}{10+n}\right)$. So $\bar w_n = \sum_{j=0}^n a_j
# w_j$. Write `shares(n, decay)`: the tensor of $a_0, \dots, a_n$. (Equation (5.13) has them for a decay that does not grow, (5.14)
# has $a_0$.)
#
# <details><summary>Hint 1: the idea</summary>
#
# $w_j$ enters at update $j$ with a factor of its own. Every later update multiplies all that is already in the average by its
# decay.
# </details>
#
# <details><summary>Hint 2: the formula</summary>
#
# $a_j = (1 - d_j)\,d_{j+1}d_{j+2}\cdots d_n$ for $j\ge1$, and $a_0 = d_1\cdots d_n$: put $d_0 = 0$ and the first holds for both.
# </details>
#
# <details><summary>Hint 3: the shape of the code</summary>
#
# A list of decays that begins with 0; for each $j$ a product over the rest of the list, by `math.prod`.
# </details>

# %% tags=["answer-11.2"]
def shares(n, decay):
    """n >= 0 updates after the copy, decay in (0, 1) -> (n + 1,) the share of each step's weights in the average."""
    ### BEGIN SOLUTION
    d = [0.0, *(min(decay, (1 + k) / (10 + k)) for k in range(1, n + 1))]
    return torch.tensor([(1 - d[j]) * math.prod(d[j + 1 :]) for j in range(n + 1)], dtype=torch.float64)
    ### END SOLUTION


# %% tags=["grade-11.2"]
checks.ex_11_2(shares)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# The shares tell how far back the average looks. With decay 0.995 the last 200 steps hold about two thirds of it; a run must be
# several times longer than that, or cool its learning rate, before the average is worth drawing with.
# </details>

# %% [markdown]
# ### Exercise 11.3 · Dropping a caption (2 points, 8 minutes)
#
# Write `heard(mask, coin, rate)`: which rows of the sentence may the network see? `mask` (B, L) is True for words and False for
# padding, `coin` (B,) holds uniform random numbers, and a caption is dropped where its coin lies below `rate`. The result is (B, 1
# + L): the null token stands first.
#
# <details><summary>Hint 1: the idea</summary>
#
# A caption is dropped as a whole or not at all. The null token is seen in both cases.
# </details>
#
# <details><summary>Hint 2: the formula</summary>
#
# A word is seen if it is a word *and* the coin of its sentence is at least the rate.
# </details>
#
# <details><summary>Hint 3: the shape of the code</summary>
#
# `mask & (coin >= rate)[:, None]`, and `F.pad(..., (1, 0), value=True)` or a `torch.cat` in front.
# </details>

# %% tags=["answer-11.3"]
def heard(mask, coin, rate):
    """mask (B, L) bool, coin (B,) in [0, 1), rate -> (B, 1 + L) bool, the null token first."""
    ### BEGIN SOLUTION
    return F.pad(mask & (coin >= rate)[:, None], (1, 0), value=True)
    ### END SOLUTION


# %% tags=["grade-11.3"]
checks.ex_11_3(heard)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# A coin for each word would train a third network: one that is told half sentences. And a null token that is hidden while there are
# words would be a word with its own meaning, "nothing was said"; one that is always there may also serve a pixel that wants to
# listen to no word.
# </details>

# %% [markdown]
# ### Exercise 11.4 · Who is listened to? (3 points, 12 minutes)
#
# Pictures of attention show how much each word is listened to. Write `listened(q, k, text_k, mask)`: the share that each word gets
# in the joined softmax (11.7), mean over the pixels. Queries `q` and keys `k` of the pixels are (B, N, d), keys of the words
# `text_k` (B, L, d), `mask` (B, L).
#
# <details><summary>Hint 1: the idea</summary>
#
# The shares of all pixels and all words together add up to 1. So the words' shares alone add up to less: that sum is the mean gate.
# </details>
#
# <details><summary>Hint 2: the formula</summary>
#
# $\frac1N\sum_i m_l\,e^{q_i\cdot k'_l/\sqrt d}$ over the denominator of (11.7) for that $i$.
# </details>
#
# <details><summary>Hint 3: the shape of the code</summary>
#
# Logits of the pixels and of the words side by side (`torch.cat` along the last axis), padding at $-\infty$, one `softmax`, the
# last L columns, a mean.
# </details>

# %% tags=["answer-11.4"]
def listened(q, k, text_k, mask):
    """q, k (B, N, d), text_k (B, L, d), mask (B, L) bool -> (B, L), each word's share of attention, mean over pixels."""
    ### BEGIN SOLUTION
    words = (q @ text_k.mT).masked_fill(~mask[:, None], -torch.inf)
    shares = (torch.cat([q @ k.mT, words], 2) / q.shape[2] ** 0.5).softmax(2)
    return shares[:, :, k.shape[1] :].mean(1)
    ### END SOLUTION


# %% tags=["grade-11.4"]
checks.ex_11_4(listened)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# Such maps are the first thing to look at when a model passes over a word: is it heard and not obeyed, or not heard? They also show
# that the null token and the full stop often get the largest shares: a softmax must listen to something.
# </details>

# %% [markdown]
# ## What breaks if one door is closed?
#
# The sentence comes in at two doors. Which does the trained network need? `prepare` hands over what entered at each: the keys and
# values of the words, and the pooled vector. So we can draw with a caption at one door and silence at the other. Predict: with
# which door closed does the network still draw what it is told?

# %%
def through(words, pool, copies=2):
    """Draw each saying, the caption given at the doors that are open (w = 1)."""
    asked = Cond(text[torch.arange(64).repeat(copies)])
    with torch.no_grad():
        told, silent = trained.prepare(asked), trained.prepare(asked.without_text())
    a, b = told if words else silent, told if pool else silent
    ready = layers.Prepared(b.emb, a.text, a.mask, None)
    z = torch.randn(64 * copies, 3, 16, 16, generator=torch.Generator().manual_seed(129))
    *_, last = samplers.sample(
        lambda z, logsnr: trained(z, logsnr, ready), samplers.steps(noise.cosine, 16), z, samplers.ddim()
    )
    return last.x0


# %%
doors = {"both": (True, True), "words alone": (True, False), "pool alone": (False, True), "none": (False, False)}
by_door = {name: through(*open_) for name, open_ in doors.items()}
rows = torch.stack([by_door[name][some] for name in doors])
figure = lesson.strip(rows, titles=["\n".join(sayings[i]) for i in some], rows=list(doors), side=1.1)
lesson.show(figure, alt="Six sayings drawn with both doors open, with the words alone, with the pool alone and with none.")
right = {name: obeyed(drawings_)[3] for name, drawings_ in by_door.items()}
print("with no door open nothing is obeyed:", right["none"] < 0.15)
print("the pool alone obeys better than the words alone:", right["pool alone"] > 2 * right["words alone"])

# %% [markdown]
# *Figure 12. The same noise; the caption at both doors, at one, at none. Notice that with the pool alone size and colour are right
# and the shape mostly, while the words alone give next to nothing.*
#
# Surprised? In this world one vector can say all there is to say, so the network took the shorter way, and learned to hear the
# words only on top of it. With two objects the pool cannot say whose colour is whose (lesson 10), and a network must go through the
# other door. Which door is used is a fact about the data as much as about the network.

# %% [markdown]
# ## The proof
#
# Sixty-four sayings, six bits. The left side of (11.6), in bits, from squared errors of pixels alone; no caption is counted
# anywhere.

# %% tags=["wow"]
bits_of_a_caption = torch.trapezoid(grid.exp() * (error_untold - error_told), grid) / 2 / math.log(2)
print(f"a caption is worth {bits_of_a_caption:.0f} bits")
lesson.check("proof", bits_of_a_caption, math.log2(len(sayings)), 0.2)

# %% [markdown]
# And the network that you have trained in a few minutes draws what it is told in more than nine cases of ten.
#
# ## Recap
#
# ### Equation card
#
# | what | formula | in the library |
# |---|---|---|
# | the conditional bound (11.1) | $L(x_0 \mid c) = -\log p_\theta(x_0\mid c) + \operatorname{KL}$ | `variational.bits_per_dim`, without $c$ |
# | as an area (11.2) | $\frac12\int e^\lambda\,\mathbb{E}\lVert x_0 - \hat x_\theta(z_\lambda, \lambda, c)\rVert^2 d\lambda$ + const | `training.train` draws $\lambda$ |
# | best guess, told (11.3), untold (11.4) | $\hat x(z) = \sum_c p(c\mid z)\,\hat x(z, c)$ | `ideal.Ideal` |
# | the gain (11.5), in bits (11.6) | error untold $-$ told; its area is $\log 64$ | – |
# | words among the pixels (11.7), gate (11.8) | $o = (1-g)\,o^{\text{page}} + g\,o^{\text{text}}$ | `layers.Attention` |
# | summary in the embedding (11.9) | $e = T(\gamma(\lambda)) + M(\sum_l p_l\tau_l)$ | `layers.TextReader` |
# | whitening (11.10) | $V\operatorname{diag}(\xi_i + \epsilon\xi_1)^{-1/2}\,V^\top(\tau - \bar\tau)$ | `TextReader.begin_white` |
#
# Where we depart from the paper: Imagen's base predicts $\varepsilon$, ours $x_0$ with a weight; Imagen zeroes dropped embeddings,
# we keep one word that says nothing; Imagen's text goes into the network as it is, ours through a small adapter.
#
# ### New words
#
# [saying](GLOSSARY.md#s) · [wording](GLOSSARY.md#w) · [base model](GLOSSARY.md#b) · [null token](GLOSSARY.md#n) · [cross-attention](GLOSSARY.md#c) ·
# [gate](GLOSSARY.md#g) · [whitening](GLOSSARY.md#w) · [mutual information](GLOSSARY.md#m) · [alignment](GLOSSARY.md#a)
#
# ### References
#
# - Saharia and others 2022, *Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding* (Imagen), sections
#   2.1, 2.2, 2.4 and appendix F.1: text in attention, pooled text, dropped captions.
# - Ho, Jain and Abbeel 2020, *Denoising Diffusion Probabilistic Models*, section 3: the bound.
# - Kingma, Salimans, Poole and Ho 2021, *Variational Diffusion Models*, section 4: the bound as an area under the error.
# - Guo, Shamai and Verdú 2005, *Mutual Information and Minimum Mean-Square Error in Gaussian Channels*, theorem 1.
# - Salimans and Ho 2022, *Progressive Distillation for Fast Sampling of Diffusion Models*, section 4: the weights of the targets.
#
# ### Next
#
# Our base draws at 64 pixels, and already there most of the time goes into few layers. Lesson 12 counts where, and builds the
# network that makes larger pictures affordable.
