"""The legs' logs in the form of log-N-SIZE.jsonl."""
import json
base="./data/weights/base/"
for n,size,parts in ((10,32,("trial-adam","legA")),(11,32,("legB",)),(12,64,("legC",))):
    lines,step0=[],0
    for part in parts:
        before=0
        for line in map(json.loads,open(f"runs/next/{part}/log.jsonl")):
            lines.append({"step":step0+line["step"],"loss":line["loss"],"by_level":line["by_level"],"pictures":line["pictures"]-before,"rate":round(line["lr"],7)}); before=line["pictures"]
        step0+=line["step"]
    # one line for 400 steps or so
    out=[]
    for a in range(0,len(lines),2):
        two=lines[a:a+2]; w=[l["pictures"] for l in two]; s=sum(w)
        mean=lambda v: None if any(x is None for x in v) else round(sum(x*y for x,y in zip(v,w))/s,5)
        out.append({"step":two[-1]["step"],"loss":mean([l["loss"] for l in two]),"by_level":[mean([l["by_level"][b] for l in two]) for b in range(9)],"pictures":s,"rate":two[-1]["rate"]})
    open(f"{base}log-{n}-{size}.jsonl","w").write("".join(json.dumps(l)+"\n" for l in out)); print(n,len(out),sum(l["pictures"] for l in out))
