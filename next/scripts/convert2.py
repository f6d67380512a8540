"""Legs 15 to 21 in the form of log-N-SIZE.jsonl, and folders for progress.py."""
import json, os, shutil
base="/work/main/data/weights/base/"
run=0
for n,size,leg,last in ((15,64,"legF1",1000),(16,64,"legG1",10**9),(17,64,"legH",10**9),(18,64,"legI1",10**9),(19,32,"legJ",10**9),(20,64,"legK",10**9),(21,64,"legL",10**9),(22,64,"legM",10**9),(23,64,"legN",10**9)):
    lines=[]; before=(0,0); seen={}
    for line in map(json.loads,open(f"/tmp/w/{leg}/log.jsonl")):
        if line["step"]>last: break
        lines.append({"step":line["step"],"loss":line["loss"],"by_level":line["by_level"],"pictures":line["pictures"]-before[0],"minutes":line["minutes"]-before[1],"rate":round(line["lr"],7)}); before=(line["pictures"],line["minutes"]); seen=line["seen"]
    out=[]; k=2 if len(lines)<40 else 4
    for a in range(0,len(lines),k):
        two=lines[a:a+k]; w=[l["pictures"] for l in two]; s=sum(w)
        mean=lambda v: None if any(x is None for x in v) else round(sum(x*y for x,y in zip(v,w))/s,5)
        out.append({"step":two[-1]["step"],"loss":mean([l["loss"] for l in two]),"by_level":[mean([l["by_level"][b] for l in two]) for b in range(9)],"pictures":s,"rate":two[-1]["rate"],"pictures_per_second":round(s/60/sum(l["minutes"] for l in two),1)})
    open(f"{base}log-{n}-{size}.jsonl","w").write("".join(json.dumps(l)+"\n" for l in out)); total=sum(l["pictures"] for l in out)
    print(n,leg,len(out),total,round(before[1],1),seen)
    run+=total  # pictures since the last folder that progress.py measures
    if n in (18,19,22,23):
        p=f"/tmp/w/p/base{n}"+("_32" if size==32 else ""); shutil.rmtree(p,ignore_errors=True); os.makedirs(p)
        shutil.copy(f"/tmp/w/{leg}/weights.safetensors",p); st=json.load(open(f"/tmp/w/{leg}/stage.json")); st["trained"]["steps"]=round(run/st["trained"]["batch"]); json.dump(st,open(p+"/stage.json","w")); run=0
