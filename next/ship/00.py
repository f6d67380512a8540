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
# # 00 · Start here
#
# You type a sentence, and a few seconds later there is a picture of 1024 by 1024 pixels that nobody has ever drawn. At the
# end of these lessons you will have built, line by line, everything that happens in between.
#
# **Where this stands.** This is the first page, and a warm welcome. It derives nothing and asks nothing of you. You will draw
# a few pictures, look inside once, see where the machine fails, and learn how the other notebooks work, so that from lesson
# 01 on you can think of the matter alone.
#
# **Proof number.** 0: so many of a picture's 12,288 numbers change when it is drawn in the company of other sentences instead
# of alone. Chance decides what is drawn, but it is chance that we can repeat, and nearly every proof in these lessons stands
# on that.

# %% [markdown]
# ## What you will be able to do
#
# - draw a picture from a sentence of your own, and the same picture again tomorrow;
# - say what each of the three stages of the cascade adds, and what a step from noise to picture looks like;
# - name things that the shipped weights cannot do, and find out by counting, not by choosing a nice picture;
# - use the notebooks: predictions, check lines, exercises with their verdicts, hints, glossary and notation.
#
# You need: nothing but a little Python. For the lessons after this one also linear algebra and first-year probability.
#
# Your time: 25 minutes.
#
# Measured run time: 32 s on one thread.
#
# Symbols that the lessons use stand in [NOTATION.md](NOTATION.md), their words in [GLOSSARY.md](GLOSSARY.md).

# %% [markdown]
# ## Set-up
#
# Every notebook begins with a cell like this one. It imports what the lesson needs, sets the number of threads, and makes
# every figure look alike. Click into the cell and press Shift+Enter: the cell runs, and the next one is chosen. A number in
# brackets appears at its left; a star in the brackets means that it is still running. Run the cells in order, from the top.
# Nothing here needs the network.

# %% tags=["setup"]
import json
import textwrap

import matplotlib.pyplot as plt
import torch

from minimagen import Cascade, checks, evaluate, lesson, pixels
from minimagen.cascade import seeded

lesson.setup(seed=0)

# %% [markdown]
# ## Predict first
#
# Each lesson asks you something before it tells you. Write your guess down, on paper, before you read on. A wrong guess that
# is written down teaches more than a right answer that is read.
#
# 1. Two people type the same sentence on two computers. Do they get the same picture?
# 2. You draw one sentence alone, and then the same sentence in one go with two others. Is it the same picture both times?
# 3. The finished picture has 3,145,728 numbers. What share of them does the network choose that draws the first, small picture?

# %% [markdown]
# ## The ladder
#
# Fifteen notebooks lead from nothing to the whole machine. Each stands on the ones below it and derives one part in full. The
# figure looks into the folder on your disk: it fills the lessons that it finds there.

# %%
LESSONS = [
    *("start here", "four families", "forward diffusion", "the variational bound", "the ε-objective", "U-Net and training"),
    *("samplers", "classifier guidance", "classifier-free guidance", "thresholding", "the text encoder", "text to image"),
    *("the Efficient U-Net", "super-resolution", "the full cascade"),
]
found = [any(lesson.checkout("notebooks").glob(f"{i:02}_*.ipynb")) for i in range(len(LESSONS))]

# %%
figure, ax = plt.subplots(figsize=(8.5, 4.4))
for i, (name, here) in enumerate(zip(LESSONS, found, strict=True)):
    ax.barh(i, i + 1, height=0.8, color=lesson.COLOURS[4] if here else "white", edgecolor="black")
    ax.text(i + 1.3, i, f"{i:02}  {name}" + ("" if here else "  (not here)"), va="center")
ax.set(xlim=(0, 22), xlabel="lessons done, this one included", ylabel="lesson", xticks=range(0, 16, 3), yticks=[])
ax.grid(False)
lesson.show(figure, alt="A staircase of fifteen bars, from 00 start here up to 14 the full cascade; filled: it is there.")
print(f"{len(LESSONS)} steps from here to the top")

# %% [markdown]
# *Figure 1. The way up. Notice that everything up to 09 is about pictures alone, any pictures. Words come in at 10, large
# pictures at 13. An empty bar is a lesson that is not in your folder; a course may leave some out.*
#
# | lesson | what you will have at its end |
# |---|---|
# | [01 four families](01_four_families.ipynb) | four ways to make a machine draw, each trained on the same points, and the reasons for the fourth |
# | [02 forward diffusion](02_forward_diffusion.ipynb) | the formula that turns any picture into noise, to any degree, in one line |
# | [03 the variational bound](03_variational_bound.ipynb) | a number that says how well a chain of small steps back explains a picture |
# | [04 the ε-objective](04_epsilon_objective.ipynb) | that number boiled down to one line of training code |
# | [05 U-Net and training](05_unet_and_training.ipynb) | a network of your own, taught one picture by heart, then digits |
# | [06 samplers](06_samplers.ipynb) | five ways to walk from noise to a picture with one and the same network |
# | [07 classifier guidance](07_classifier_guidance.ipynb) | a wish, fulfilled by the gradient of a classifier |
# | [08 classifier-free guidance](08_classifier_free_guidance.ipynb) | a wish, fulfilled without one: how a drawing listens to its sentence |
# | [09 thresholding](09_thresholding.ipynb) | the cure for pictures that listen too hard |
# | [10 the text encoder](10_text_encoder.ipynb) | from words to numbers: attention, and why it may stay frozen |
# | [11 text to image](11_text_to_image.ipynb) | the small picture from a sentence, trained by you |
# | [12 the Efficient U-Net](12_efficient_unet.ipynb) | a network that is cheap at many pixels |
# | [13 super-resolution](13_super_resolution.ipynb) | a small picture made large, with details that fit |
# | [14 the full cascade](14_full_cascade.ipynb) | sentence, 64, 256, 1024 pixels: the whole machine, yours |
#
# The library already does what they will explain, which is why you can draw today.

# %% [markdown]
# ## A first picture
#
# The weights that come with minimagen have seen two small worlds. The first is coloured shapes on white paper, described in
# simple sentences. That is on purpose. It is a world in which a program can check whether a picture is right, and small enough
# to be learned on a laptop. The second is a thousand emoji; of these, further down.
#
# Two lines draw. The first reads the text encoder and three networks from the disk. The second gives them a sentence, and a
# **seed**: a whole number that decides the noise from which the picture comes.

# %%
cascade = Cascade.load(device="cpu")
sentence = "a large red circle"
pictures = cascade.draw([sentence], seed=4)
print([tuple(picture.shape) for picture in pictures])


# %% [markdown]
# Three pictures, since there are three **stages**. Each is a block of numbers: how many pictures, three colours, height,
# width. Every number lies between −1, no light of that colour, and 1, all of it. Put them on paper, one beside the other:

# %%
def put(ax, picture, title):
    ax.imshow(pixels.to_uint8(picture).permute(1, 2, 0).numpy(), interpolation="nearest")
    ax.set_title(title, fontsize=9)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="grey")


# %%
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.7))
for ax, picture in zip(axes, pictures, strict=True):
    put(ax, picture[0], f"{picture.shape[-1]} × {picture.shape[-1]} pixels")
lesson.show(figure, alt="One drawing on white paper at 64, 256 and 1024 pixels, made by three stages from: a large red circle.")
first, last = pictures[0].numel(), pictures[-1].numel()
print(f"{first:,} numbers in the first, {last:,} in the last: one in {last // first}")

# %% [markdown]
# *Figure 2. "a large red circle", by the three stages. Notice that all three agree on what is where: the first stage decides
# that.*
#
# Here is your third guess. The network that reads the sentence and decides what is on the page chooses 12,288 numbers, one in
# 256. The two stages after it fill in the rest. That is the idea of a **cascade**: decide first, on little paper, where every
# step is cheap; then make it large.

# %% [markdown]
# ## From noise to a picture
#
# How does one network draw? It does not draw at all. It is shown a page full of noise, together with the sentence, and asked:
# *what clean picture might be under this?* Its first answer is a blur. We take one small step from the noise towards that
# answer, and ask again. `run` walks these steps, and we keep every one. With the same seed it must end in the picture that
# you have just seen:

# %%
base = cascade.stages[0]
way = list(base.run(cascade.encoder.encode([sentence]), None, [seeded(4, 0)]))
lesson.check("that the walk ends in the first picture", way[-1].x0, pictures[0], 1e-3)

# %% [markdown]
# The line that it prints is a **check**. You will see hundreds of them: two numbers, found in two different ways, agree to
# within what the line says. Now look at five of the steps.

# %%
moments = torch.linspace(0, len(way) - 1, 5).round().int().tolist()
rows = torch.stack([torch.cat([way[i].z for i in moments]), torch.cat([way[i].x0 for i in moments])])
figure = lesson.strip(rows, titles=[f"step {i + 1}" for i in moments], rows=["the page", "the guess"], side=1.4)
words = "Two rows of five pictures: a page that turns from noise into a drawing, and below it the guess at each step."
lesson.show(figure, alt=words)
moved = torch.tensor([(b.x0 - a.x0).abs().mean() for a, b in zip(way[:-1], way[1:], strict=True)])
half = len(moved) // 2
print("the guess changes more in the first half of the steps:", bool(moved[:half].sum() > moved[half:].sum()))

# %% [markdown]
# *Figure 3. The first stage at work. Upper row: what is on the page. Lower row: what the network believes to be under the
# noise. Notice how early the lower row knows the colour and the place, while the upper row is still noise, and how the
# outline comes last.*
#
# That is the whole of a [diffusion model](GLOSSARY.md#d). How the page above gets noisy is lesson 02; why the guess can be
# learned is 03 and 04; what the network is, 05; how long the steps may be, 06; how the sentence gets its say, 07 to 11.

# %% [markdown]
# ## What each stage adds
#
# Cut the same small piece out of all three pictures, a quarter of the page wide, at the upper left edge of what was drawn.
# And beside it, for comparison, a plain enlargement of the first picture to 1024 pixels, without any network.

# %%
seen = evaluate.read(pictures[0][0])[0]  # what is on the page, and where, in page widths
corner = [place - 0.7 * seen.r - 0.125 for place in (seen.y, seen.x)]


def piece(picture):
    width = picture.shape[-1]
    top, left = (round(min(max(0.0, place), 0.75) * width) for place in corner)
    return picture[..., top : top + width // 4, left : left + width // 4]


# %%
enlarged = pixels.resize(pictures[0], 1024)
figure, axes = plt.subplots(1, 4, figsize=(8.0, 2.3))
titles = ["64", "256", "1024", "64, enlarged to 1024"]
for ax, picture, title in zip(axes, [*pictures, enlarged], titles, strict=True):
    put(ax, piece(picture)[0], title)
lesson.show(figure, alt="The edge of the drawn shape at 64, 256 and 1024 pixels, ever finer, and that of a plain enlargement.")
drawn, blurred = (evaluate.edge_width(picture).item() for picture in (pictures[-1], enlarged))
print("the cascade's edge takes less than half as many pixels as that of the enlargement:", drawn < blurred / 2)

# %% [markdown]
# *Figure 4. A quarter of the page, from each stage. Notice the stairs at 64 pixels, their smaller steps at 256, and the sharp
# outline at 1024, where the plain enlargement on the right is only a blur. An enlargement knows nothing. The later stages
# know what outlines look like. They also invent: where the outline waves a little, that is their invention.*

# %% [markdown]
# ## Other seeds, other sentences
#
# From here on the first stage will do: `size=64` stops after it, so that a picture takes a second or two. In the upper row,
# one sentence and four seeds (the pictures of a list get the seeds 20, 21, 22 and 23). In the lower row, one seed and four
# sentences.

# %%
others = ["a small blue star", "a yellow heart", "a big green cross on white", "show me a black ring"]
seeds = cascade.draw([sentence] * 4, seed=20, size=64)[-1]
words = torch.cat([cascade.draw([other], seed=20, size=64)[-1] for other in others])
figure, axes = plt.subplots(2, 4, figsize=(7.2, 4.0))
titles = [*(f"seed {seed}" for seed in range(20, 24)), *others]
for ax, page, title in zip(axes.flat, [*seeds, *words], titles, strict=True):
    put(ax, page, title)
lesson.show(figure, alt="Upper row: four drawings of one sentence, four seeds. Lower row: four other sentences, one seed.")
print("every seed draws another picture:", all((seeds[0] != other).any().item() for other in seeds[1:]))

# %% [markdown]
# *Figure 5. What a seed and what a sentence decide: "a large red circle" above, other sentences below. Notice that the seed
# chooses what the sentence leaves open, such as the place on the page. And look closely: not every page has to be what was
# asked for. Of that, more in a moment.*

# %% [markdown]
# ## The second world
#
# The weights have also seen emoji: some five hundred things that have a name of one word, each as two people drew it, once flat
# and once shaded. A sentence must say which style it wants. And they have seen animals, plants and foods two by two, each in its
# place. These wordings stand in no caption of training.

# %%
things = ["a flat drawing of a cat", "a shaded drawing of a cat", "tomato, flat drawing", "tomato, shaded drawing"]
scenes = ["a tomato right of a cat, flat style", "a shaded drawing with cherries at the bottom and an owl at the top"]
scenes += ["a banana right of a fox, shaded style", "a flat drawing of a snail below a rose"]
pages = cascade.draw(things + scenes, seed=40, size=64)[-1]
figure, axes = plt.subplots(2, 4, figsize=(7.2, 4.6))
for ax, page, title in zip(axes.flat, pages, things + scenes, strict=True):
    put(ax, page, textwrap.fill(title, 28))
    ax.title.set_fontsize(7)
words = "Eight drawings: a cat and a tomato, each flat and shaded, and four scenes of an animal with a fruit or a flower."
lesson.show(figure, alt=words)
for kind, said in (("things", "what is nearest to the picture they name"), ("picnic", "both, each nearest to its own")):
    counted = json.loads(lesson.checkout("docs", "evaluation", f"{kind}-held-out.json").read_text(encoding="utf-8"))
    share = counted["right"]["top 1"]["share"]
    print(f"of {counted['captions']} such sentences, {100 * share:.0f} % draw {said}")

# %% [markdown]
# *Figure 6. Things, above one by one and below in twos. Notice how rough they are, and that one mostly sees all the same what was
# meant, where it should be, and in which style. In twos more goes wrong: that is why the two shares above differ.*
#
# There is a difference between the two worlds. A red star that no training page showed is drawn all the same: the network has
# learned what "red" is and what a star is. What it knows by the name of "cat" is two pictures,
# each seen several hundred times, and it draws those two from memory. Nobody can draw a thing of which he knows nothing but the name.

# %% [markdown]
# ## Where it fails
#
# A picture that someone chose to show you proves little. So here are sentences that nobody chose for success: two shapes with a
# place for each, a number, and one about a scene that these weights have never seen. Two seeds for each. A program
# reads every page and gives its verdict in the title: right only if everything that the sentence says is there, and nothing else.

# %%
hard = ["a small blue star to the left of a large red circle", "three green hearts", "a yellow ring above a black square"]
strange = "a brown dog asleep on a sofa"
attempts = [cascade.draw([one] * 2, seed=30, size=64)[-1] for one in [*hard, strange]]
verdicts = [evaluate.alignment(pages, [one] * 2).right["all"].tolist() for pages, one in zip(attempts, hard, strict=False)]

# %%
figure, axes = plt.subplots(2, 4, figsize=(8.4, 4.9))
for column, (one, pages) in enumerate(zip([*hard, strange], attempts, strict=True)):
    judged = ["right" if fine else "wrong" for fine in verdicts[column]] if column < 3 else ["never seen"] * 2
    for ax, page, said in zip(axes[:, column], pages, judged, strict=True):
        put(ax, page, said)
    axes[1, column].set_xlabel(textwrap.fill(one, 24), fontsize=9)
words = "Eight pages, two for each of four hard sentences, a program's verdict over each; the last was never learned."
lesson.show(figure, alt=words)

# %% [markdown]
# *Figure 7. Hard sentences. Notice which pages are called wrong, and look for the reason: a shape too many, two that have
# grown together, a colour at the wrong shape, left for right. And notice the dog. Of dogs the weights have seen a few drawings, of a
# dog asleep on a sofa none, and the sentence names no style. They do not say so: they draw something, with some of a dog's fur.*
#
# The honest question is how often. The next figure is not drawn by me for today: it shows a file that comes with the project,
# made by drawing hundreds of sentences in wordings that training never had, each judged by the same program. The bar around
# each point is its 95 % interval: other sentences of the same kind would have given a point in there, most of the time.

# %%
file = lesson.checkout("docs", "evaluation", "single-held-out.json")
measured = json.loads(file.read_text(encoding="utf-8"))
asked = {"the right thing": "objects", "in the right colour": "colours", "in the right size": "sizes", "everything": "all"}
figure, ax = plt.subplots(figsize=(7.2, 2.4))
for row, key in enumerate(asked.values()):
    share = measured["right"][key]
    ax.plot([100 * share["low"], 100 * share["high"]], [row, row], "-", color=lesson.COLOURS[0], linewidth=3)
    ax.plot(100 * share["share"], row, "o", color=lesson.COLOURS[1], markersize=8)
ax.set(xlim=(0, 100), ylim=(3.5, -0.5), xlabel=f"right, in % of {measured['captions']} sentences")
ax.set(yticks=range(4), yticklabels=list(asked))
lesson.show(figure, alt="Four shares with their intervals: the right thing, colour and size, and everything right.")
whole = measured["right"]["all"]["share"]
print("everything is right less often than the thing alone:", whole <= measured["right"]["objects"]["share"] < 1)

# %% [markdown]
# *Figure 8. Sentences about a single shape. Notice which of the four is the weakest. More than one shape on a page is
# harder, as `docs/evaluation/pair-held-out.json` counts. A thing that no drawing showed, the shipped weights have not learned at
# all.*
#
# One word more before you show pictures to others. These weights can do no harm; large models of the same kind can. They
# learn from pictures that people have made, with those people's prejudices in them, and they draw faces and events that never
# were. The authors of Imagen kept their model to themselves for that reason. Say of a drawn picture that it is drawn, and ask
# of a model what it was trained on. Of ours, `data/SOURCES.md` says it.

# %% [markdown]
# ## How to use the notebooks
#
# **Check lines.** A check compares two numbers that were found in different ways, and says how near they are. It is there so
# that you need not believe anything. Here is one that holds, and one that does not:

# %%
lesson.check("of young Gauss", sum(range(1, 101)), 100 * 101 / 2, 1e-9)
try:
    lesson.check("of someone who forgot the last number", sum(range(1, 100)), 100 * 101 / 2, 1e-9)
except AssertionError as error:
    print(error)

# %% [markdown]
# In a lesson a check that fails stops the notebook. Change a formula, run its cell again, and see the check catch you: that
# is the best use of it.
#
# **Exercises.** Each lesson from 01 on has two to four. Under the task stand three hints, folded: the idea, the formula, the
# shape of the code. Open them one at a time, and only after a try of your own. Write your answer in the place of the three
# dots, run the cell, and run the cell below it. It prints one line, and you may try as often as you like:
#
# | the line begins with | it means |
# |---|---|
# | ○ | not solved yet: the three dots are still there, or the function returns nothing |
# | ✗ | not right, and the line says what it looks like: a missing root, a step too far, the deviation where the variance belongs |
# | ● | solved |
#
# This is the verdict on lesson 02's first exercise as long as nobody has answered it:

# %%
print(checks.verdict("2.1", None))


# %% [markdown]
# Nothing later in a lesson needs your answers, so an exercise that resists can wait until tomorrow.
#
# **Solutions.** They are in the folder `solutions`, under the same names as the notebooks. Look when the exercise is solved,
# to see another way, or when you have slept over it once. Before that they take from you the only thing that an exercise can
# give.
#
# **Words and symbols.** A word in blue leads to [GLOSSARY.md](GLOSSARY.md), in which each has its Vietnamese name too. What a
# letter means stands in [NOTATION.md](NOTATION.md), one meaning for all lessons. Every figure has a caption that says what to
# notice, and folded below it the same in words, for whoever does not see it.
#
# **Time.** One to two hours a lesson, with its exercises; its head says how long, and how long its cells run on one thread.
# Some train a small network and run for minutes. Read on meanwhile.
#
# **Starting again.** When a cell complains of a name that it does not know, cells above it have not run: choose Kernel, then
# *Restart Kernel and Run Up to Selected Cell*. To have a notebook as it came, with your answers gone: `git restore
# notebooks/02_forward_diffusion.ipynb`.

# %% [markdown]
# ## Move it yourself
#
# Your turn. The box below draws whatever you type, with the first stage only, in a few seconds. It calls the function `draw`;
# here it is, and a check that it shows what the cascade draws:

# %%
def draw(sentence, seed):
    figure, ax = plt.subplots(figsize=(3.2, 3.4))
    put(ax, cascade.draw([sentence], seed=seed, size=64)[-1][0], textwrap.fill(f'"{sentence}", seed {seed}', 42))
    return figure


figure = draw("a small blue star", 1)
shown = torch.from_numpy(figure.axes[0].images[0].get_array().data).double().mean()
again = (cascade.draw(["a small blue star"], seed=1, size=64)[-1].clamp(-1, 1).mean().double() + 1) * 127.5
lesson.check("widget", shown, again, 0.5)
lesson.show(figure, alt="A page of 64 by 64 pixels, drawn from the sentence: a small blue star, with the seed 1.")

# %% [markdown]
# *Figure 9. What the box will show. Notice that the title tells all that is needed to draw this picture again.*
#
# Type a sentence and press Enter. Things to try: the colours red, orange, yellow, green, blue, purple, pink, black; the
# shapes circle, square, triangle, diamond, star, heart, cross, ring; small, medium, large. Of things: a flat drawing of a
# pizza, a shaded drawing of a guitar, what comes to your mind. Then things it was not taught. Then the same sentence with
# another seed.

# %% tags=["widget", "nbval-ignore-output"]
import ipywidgets

line = ipywidgets.Text(value="a large orange heart", description="sentence", continuous_update=False)
seed = ipywidgets.IntSlider(value=7, min=0, max=50, description="seed", continuous_update=False)
words = "The page that the first stage draws for the sentence in the box, here a large orange heart with seed 7."
lesson.explore(draw, alt=words, sentence=line, seed=seed)


# %% [markdown]
# ## The proof
#
# Now for your first two guesses. We draw the first sentence alone, with seed 4. Then we draw it again between two others; the
# list begins at seed 3, so ours, the second in the list, has seed 4 as before. Pictures are kept in 256 shades, so we count
# the numbers that differ by more than one shade. And so that you can trust a 0, we also count for seed 5.

# %% tags=["wow"]
def shades(picture):
    return pixels.to_uint8(picture).int()


alone = shades(cascade.draw([sentence], seed=4, size=64)[-1][0])
together = shades(cascade.draw(["a yellow star", sentence, "a tiny black ring"], seed=3, size=64)[-1][1])
other = shades(cascade.draw([sentence], seed=5, size=64)[-1][0])
differ = lambda a, b: int(((a - b).abs() > 1).sum())
print(f"{differ(alone, together)} of {alone.numel():,} numbers differ; with another seed, some do: {differ(alone, other) > 0}")

# %% [markdown]
# None. So, guess 2: yes, the same picture. Every picture has a source of noise of its own, made from its seed and its stage,
# and does not care what is drawn beside it. Guess 1: if both take the same seed and the same weights, yes, as far as an eye
# can see. Processors round the last digit differently, which is why our checks say *within* and never *equal*. With different
# seeds they get two different pictures, and both can be right.

# %% [markdown]
# ## Recap
#
# A sentence becomes a small picture in some dozens of steps out of noise, and two more stages make it large. A seed makes
# chance repeatable. A check says how near, a verdict says what is wrong, and a share with its interval says more than any
# picture.
#
# ### New words
#
# **seed**, the whole number from which all noise of a picture follows · **stage**, one network with its resolution and its
# way of drawing · **cascade**, the chain of stages · **check**, a comparison of two routes to one number ·
# [diffusion model](GLOSSARY.md#d)
#
# ### References
#
# - Saharia and others 2022, *Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding* (Imagen): the cascade that we
#   rebuild, section 2; why it was not released, section 6.
# - Ho and others 2022, *Cascaded Diffusion Models for High Fidelity Image Generation*: several stages instead of one.
#
# ### Next
#
# [Lesson 01](01_four_families.ipynb) asks why anyone would draw by removing noise. It trains four kinds of drawing machines
# on the same few points, and lets you see what each does well and badly.
