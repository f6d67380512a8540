import argparse, json, math, os, random, sys, time
import numpy as np, torch
import torch.multiprocessing as mp
torch.set_num_threads(1)
sys.path.insert(0, "/work/main")
from minimagen import checkpoint, pixels
from minimagen.conditioning import Cond, Text
from minimagen.denoiser import Denoiser
from minimagen.emoji import STYLES, Emoji, records
from minimagen.noise import cosine, randn
from minimagen.recipes import BASE
from minimagen.shapes import Shapes
from minimagen.text import TextEncoder
from minimagen.training import velocity_weight, warm_then_cool
from dataclasses import replace
import torch.nn.functional as F

ap = argparse.ArgumentParser()
ap.add_argument("--source"); ap.add_argument("--out"); ap.add_argument("--size", type=int); ap.add_argument("--text")
ap.add_argument("--text-from", default=None)   # encoder the source was trained with: refit the whitening
ap.add_argument("--minutes", type=float); ap.add_argument("--shares"); ap.add_argument("--opt", default="adam")
ap.add_argument("--rate", type=float, default=1e-3); ap.add_argument("--batch", type=int, default=64)  # a process
ap.add_argument("--world", type=int, default=2); ap.add_argument("--seed", type=int, default=0); ap.add_argument("--shift", type=float, default=-2.0)
ap.add_argument("--warm", type=int, default=200); ap.add_argument("--cool", type=float, default=0.3); ap.add_argument("--nshapes", type=int, default=300000)
ap.add_argument("--words", type=int, default=1); ap.add_argument("--small", type=int, default=0); ap.add_argument("--cache", default=""); ap.add_argument("--ratio", type=int, default=1); ap.add_argument("--zoo", type=float, default=0.75)
a = ap.parse_args()
os.makedirs(a.out, exist_ok=True)
W = a.world
shares = {k: float(v) for k, v in (x.split("=") for x in a.shares.split(","))}

# ---------------------------------------------------------------- data
t0 = time.time()
cats = {}
def at_size(pics):
    pics = torch.from_numpy(pics)
    return pics if a.size == 64 else None
def small(pics):  # (n,3,64,64) uint8 -> size
    if a.size == 64: return torch.from_numpy(np.ascontiguousarray(pics))
    out = torch.empty(len(pics), 3, a.size, a.size, dtype=torch.uint8)
    for i in range(0, len(pics), 4096):
        out[i:i+4096] = F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(pics[i:i+4096])).float(), 64 // a.size).round().to(torch.uint8)
    return out
def files(what):
    fs = sorted((int(f.split("-")[-1][:-4]), f) for f in os.listdir("/tmp/w") if f.startswith(what + "-") and f.endswith(".npy"))
    ps, cs = [], []
    for _, f in fs:
        p = f"/tmp/w/{f}"
        if not os.path.exists(p[:-4] + ".json"): continue
        ps.append(small(np.load(p, mmap_mode="r"))); cs += json.load(open(p[:-4] + ".json"))
    return torch.cat(ps), cs
if shares.get("shapes"):
    p, c = files("shapes"); p, c = p[:a.nshapes], c[:a.nshapes]
    cats["shapes"] = (p, torch.arange(len(c)), c)
if shares.get("scenes"):
    p, c = files("two-things"); cats["scenes"] = (p, torch.arange(len(c)), c)
if shares.get("zoo"):
    p, c = files("zoo"); cats["zoo"] = (p, torch.arange(len(c)), c)
val = None
if shares.get("things"):
    ps, rows, caps, off, living = [], [], [], 0, []
    hp, hc = [], []
    for s in STYLES:
        e = Emoji(s, 64, "train", words=a.words or None); pic = small(np.array(e.pictures))
        for r, cap in e.items:
            if records(s)[r]["group"] in ("animals-nature", "food-drink"): living.append(len(rows))
            rows.append(off + r); caps.append(cap)
        h = Emoji(s, 64, "held-out", words=a.words or None)
        hp += [pic[h.items[i][0]] for i in range(0, len(h), max(len(h)//128,1))][:128]; hc += [h.items[i][1] for i in range(0, len(h), max(len(h)//128,1))][:128]
        ps.append(pic); off += len(pic)
    cats["things"] = (torch.cat(ps), torch.tensor(rows), caps)
    val = (torch.stack(hp), hc)
small_pics = None
if a.small:
    P = cats["things"][0]; SIDES = range(22, 31)
    small_pics = [pixels.to_uint8(pixels.resize(pixels.from_uint8(P), side)) for side in SIDES]
    print("small", [tuple(x.shape) for x in small_pics][:2], round(time.time() - t0), "s", flush=True)
names = list(cats); probs = torch.tensor([shares[n] for n in names])
print({n: len(cats[n][2]) for n in names}, "pictures", round(time.time() - t0), "s", flush=True)

enc = TextEncoder(a.text, "cpu")
def encode(enc, captions):
    order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
    out = [None] * len(captions)
    for s in range(0, len(order), 256):
        rows = order[s:s+256]
        with torch.autocast("cpu", torch.bfloat16):
            text = enc.encode([captions[i] for i in rows])
        for i, tok, m in zip(rows, text.tokens, text.mask): out[i] = tok[m].to(torch.bfloat16)
    return out
def _enc_part(q, name, part, lo): pass
states = {}
def cached(n): return f"{a.cache}-{n}.pt"
for n in names:
    if a.cache and os.path.exists(cached(n)):
        tok, st, caps0 = torch.load(cached(n), mmap=True, weights_only=False)
        assert caps0 == cats[n][2]
        cats[n] = (*cats[n], tok, st); continue
    u = sorted(set(cats[n][2]))
    def work(k, u=u, n=n):
        torch.set_num_threads(1); res = encode(enc, u[k::W])
        torch.save((torch.cat(res), torch.tensor([len(r) for r in res])), f"{a.out}/enc-{n}-{k}.pt")
    ps = []
    for k in range(W):
        if k == W - 1: work(k)
        else:
            p = mp.get_context("fork").Process(target=work, args=(k,)); p.start(); ps.append(p)
    for p in ps: p.join()
    toks, index, base = [], {}, 0
    starts, lens = [], []
    for k in range(W):
        t, l = torch.load(f"{a.out}/enc-{n}-{k}.pt"); os.remove(f"{a.out}/enc-{n}-{k}.pt")
        s = base + torch.cumsum(l, 0) - l; base += len(t); toks.append(t)
        for cap, si, li in zip(u[k::W], s.tolist(), l.tolist()): index[cap] = (si, li)
    st = torch.tensor([index[c] for c in cats[n][2]])
    cats[n] = (*cats[n], torch.cat(toks), st)
    if a.cache: torch.save((cats[n][3], cats[n][4], cats[n][2]), cached(n))
print("encoded", round(time.time() - t0), "s", flush=True)

def pad(rows):
    L = max(len(r) for r in rows); out = torch.zeros(len(rows), L, rows[0].shape[1]); m = torch.zeros(len(rows), L, dtype=torch.bool)
    for i, r in enumerate(rows): out[i, :len(r)] = r; m[i, :len(r)] = True
    return Text(out, m)
def batch(g, count):
    which = torch.multinomial(probs, count, replacement=True, generator=g).tolist()
    pics, rows, kinds = [], [], which
    for w in which:
        P, idx, caps, tok, st = cats[names[w]]
        i = int(torch.randint(len(caps), (1,), generator=g)); s, l = st[i].tolist()
        pics.append(P[idx[i]]); rows.append(tok[s:s+l])
    x0 = pixels.from_uint8(torch.stack(pics))
    text = pad(rows)
    drop = torch.rand(count, generator=g) < 0.1
    cond = Cond(text).without_text(drop)
    return x0, cond, torch.tensor(kinds)

def small_batch(g, count):
    P, idx, caps, tok, st = cats["things"]
    page, rows = torch.full((count, 3, 32, 32), 255, dtype=torch.uint8), []
    for k in range(count):
        i, v = int(torch.randint(len(caps), (1,), generator=g)), int(torch.randint(len(SIDES), (1,), generator=g))
        if float(torch.rand((), generator=g)) < a.zoo: i = living[i % len(living)]
        side = SIDES[v]; top, left = torch.randint(33 - side, (2,), generator=g).tolist()
        page[k, :, top:top+side, left:left+side] = small_pics[v][idx[i]]
        s, l = st[i].tolist(); rows.append(tok[s:s+l])
    cond = Cond(pad(rows)).without_text(torch.rand(count, generator=g) < 0.1)
    return pixels.from_uint8(page), cond, torch.full((count,), -1)

# ---------------------------------------------------------------- model
den, settings = checkpoint.load(a.source)
settings = replace(settings, size=a.size)
if a.text_from:
    old = TextEncoder(a.text_from, "cpu"); r = den.net.reader
    caps = [c for n in names for c in random.Random(0).sample(cats[n][2], 4000)]
    with torch.no_grad():
        def flat(e): return torch.cat([x for s in range(0, len(caps), 128) for x in [(lambda t: t.tokens[t.mask])(e.encode(caps[s:s+128]))]])
        X, Y = r.norm(flat(enc)).double(), r.whiten(r.norm(flat(old))).double()
        mean = Y.norm(dim=1); print("length of white states", mean.mean().item())
        A = torch.cat([X, torch.ones(len(X), 1).double()], 1)
        sol = torch.linalg.solve(A.T @ A + 1e-3 * len(X) * torch.eye(129).double(), A.T @ Y)
        print("R2 of the refitted whitening", 1 - ((A @ sol - Y).square().sum() / (Y - Y.mean(0)).square().sum()).item(), flush=True)
        r.whiten.weight.copy_(sol[:128].T); r.whiten.bias.copy_(sol[128])
den.train().requires_grad_(True)
def is_muon(n, p): return a.opt == "muon" and p.ndim >= 2 and not n.startswith(("net.first", "net.last")) and "null" not in n and "score" not in n and "whiten" not in n
ps = [(n, p) for n, p in den.named_parameters() if p.requires_grad]
mu = sorted([(n, p) for n, p in ps if is_muon(n, p)], key=lambda x: -x[1].numel()); ad = [(n, p) for n, p in ps if not is_muon(n, p)]
own = [[], []]; cost = [0, 0]
for n, p in mu:
    k = cost.index(min(cost[:W])); own[k].append((n, p)); cost[k] += p.numel()
mucount = [sum(p.numel() for _, p in o) for o in own]
adl = [[], []]; cost = [0, 0]
for n, p in sorted(ad, key=lambda x: -x[1].numel()):
    k = cost.index(min(cost[:W])); adl[k].append((n, p)); cost[k] += p.numel()
total = sum(p.numel() for _, p in ps)
flat = torch.empty(total).share_memory_(); ema = torch.empty(total).share_memory_(); grads = [torch.zeros(total).share_memory_() for _ in range(W)]
where, pos, chunk = {}, 0, []
for k in range(W):
    lo = pos
    for n, p in own[k] + adl[k]:
        where[n] = (pos, p.shape); flat[pos:pos+p.numel()] = p.data.flatten(); pos += p.numel()
    chunk.append((lo, lo + mucount[k], pos))
ema.copy_(flat)
def view(buf, n): o, sh = where[n]; return buf[o:o+math.prod(sh)].view(sh)
for n, p in ps: p.data = view(flat, n)

def newton_schulz(G):
    X = G.bfloat16(); t = X.shape[-2] > X.shape[-1]
    if t: X = X.mT
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        A = X @ X.mT; B = -4.7750 * A + 2.0315 * (A @ A); X = 3.4445 * X + B @ X
    return (X.mT if t else X).float()

progress = mp.get_context("fork").Value("d", 0.0)
barrier = mp.get_context("fork").Barrier(W)

def run(rank):
    torch.set_num_threads(1)
    for n, p in ps: p.grad = view(grads[rank], n)
    g = torch.Generator().manual_seed(a.seed * 1000 + rank)
    lo, mid, hi = chunk[rank]
    m1, v1 = torch.zeros(hi - mid), torch.zeros(hi - mid); mom = torch.zeros(mid - lo)
    groups = {}
    for n, p in own[rank]:
        groups.setdefault((p.shape[0], p.numel() // p.shape[0]), []).append(where[n][0])
    began, step = time.time(), 0
    sums = {n: [0.0, 0] for n in [*names, "small"]}; seen = {n: 0 for n in names}
    log = open(f"{a.out}/log.jsonl", "a"); told = 0; bylevel = []
    if val is not None and rank == 0:
        vg = torch.Generator().manual_seed(7); vx = pixels.from_uint8(val[0]); vt = pad(encode(enc, val[1])); ve = torch.randn(vx.shape, generator=vg)
    while True:
        if rank == 0: progress.value = (time.time() - began) / (60 * a.minutes)
        tiny = bool(a.small) and step % (a.ratio + 1) != 0
        x0, cond, kinds = small_batch(g, a.small) if tiny else batch(g, a.batch)
        logsnr = (cosine(torch.rand(len(x0), generator=g)) + a.shift).clamp(-20, 20)
        eps = randn(x0.shape, g, like=x0)
        grads[rank].zero_()
        with torch.autocast("cpu", torch.bfloat16):
            losses = den.loss(x0, logsnr, eps, cond)
        (velocity_weight(logsnr) * losses).mean().backward()
        L = losses.detach(); ok = (logsnr > -5) & (logsnr < -1)
        for i, n in enumerate(names):
            k = (kinds == i); seen[n] += int(k.sum()); k &= ok; sums[n][0] += L[k].sum().item(); sums[n][1] += int(k.sum())
        if tiny: sums["small"][0] += L[ok].sum().item(); sums["small"][1] += int(ok.sum())
        else: bylevel.append((L, logsnr))
        barrier.wait()
        done = progress.value
        lr = a.rate * min(1.0, (step + 1) / a.warm, max(0.0, (1 - done) / a.cool))
        gr = grads[0][lo:hi] if W == 1 else (grads[0][lo:hi] + grads[1][lo:hi]) / 2
        if mid > lo:
            gm = gr[:mid - lo]; mom.lerp_(gm, 0.05); u = gm.lerp(mom, 0.95); 
            for (r, c), offs in groups.items():
                G = torch.stack([u[o-lo:o-lo+r*c].view(r, c) for o in offs])
                O = newton_schulz(G) * (0.2 * max(r, c) ** 0.5)
                for o, x in zip(offs, O): flat[o:o+r*c].mul_(1 - lr * 0.01).add_(x.flatten(), alpha=-lr)
        gd = gr[mid - lo:]
        if gd.data_ptr() % 64: gd = gd.clone()
        torch._fused_adamw_([flat[mid:hi]], [gd], [m1], [v1], [], [torch.tensor(float(step + 1))], lr=lr, beta1=0.9, beta2=0.99, weight_decay=0.01, eps=1e-8, amsgrad=False, maximize=False)
        ema[lo:hi].lerp_(flat[lo:hi], 1 - min(0.999, (1 + step) / (10 + step)))
        step += 1
        stop = done >= 1
        if step % 200 == 0 or stop:
            if rank == 0:
                line = {"step": step, "minutes": round((time.time() - began) / 60, 2), "pictures": (step * (a.batch + a.ratio * a.small) // (a.ratio + 1) if a.small else step * a.batch) * W, "lr": lr, **{n: round(s / max(c, 1), 5) for n, (s, c) in sums.items()}, "seen": {n: W * c for n, c in seen.items()}}
                allL, allS = torch.cat([x for x, _ in bylevel]), torch.cat([x for _, x in bylevel])
                edges = (-20, -10, -6, -3, -1, 1, 3, 6, 10, 20); bins = torch.bucketize(allS, torch.tensor(edges[1:-1]).float())
                line["loss"] = round(allL.mean().item(), 5); line["by_level"] = [round(allL[bins == b].mean().item(), 5) if (bins == b).any() else None for b in range(9)]
                if val is not None and (step % 400 == 0 or stop):
                    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                        line["val"] = [round(sum(den.loss(vx[i:i+64], torch.full((64,), lam), ve[i:i+64], Cond(vt)[i:i+64]).sum().item() for i in range(0, 256, 64)) / 256, 5) for lam in (-5.0, -3.0, -1.0)]
                print(json.dumps(line), flush=True); log.write(json.dumps(line) + "\n"); log.flush()
            sums = {n: [0.0, 0] for n in [*names, "small"]}; bylevel = []
        if step % 1000 == 0 or stop:
            barrier.wait()
            if rank == 0: save(step)
            barrier.wait()
        if stop: break
        barrier.wait()

def save(step):
    d = settings.build(); sd = d.state_dict()
    for n, _ in ps: sd[n] = view(ema, n).clone()
    d.load_state_dict(sd)
    checkpoint.save(a.out, d, replace(settings, trained={"steps": step, "batch": a.batch * W, "encoder": enc.fingerprint}))

if W == 1: run(0)
else:
    p = mp.get_context("fork").Process(target=run, args=(1,)); p.start(); run(0); p.join()
