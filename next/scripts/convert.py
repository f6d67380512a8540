"""The legs' logs in the form of log-N-SIZE.jsonl."""
import json
base="/work/main/data/weights/base/"
for n,size,parts in ((10,32,("trial-adam","legA")),(11,32,("legB",)),(12,64,("legC",)),(13,64,("legD",)),(14,64,("legE",))):
    lines,step0=[],0
    for part in parts:
        before=(0,0)
        for line in map(json.loads,open(f"/tmp/w/{part}/log.jsonl")):
            lines.append({"step":step0+line["step"],"loss":line["loss"],"by_level":line["by_level"],"pictures":line["pictures"]-before[0],"minutes":line["minutes"]-before[1],"rate":round(line["lr"],7)}); before=(line["pictures"],line["minutes"])
        step0+=line["step"]
    out=[]
    for a in range(0,len(lines),2):
        two=lines[a:a+2]; w=[l["pictures"] for l in two]; s=sum(w)
        mean=lambda v: None if any(x is None for x in v) else round(sum(x*y for x,y in zip(v,w))/s,5)
        out.append({"step":two[-1]["step"],"loss":mean([l["loss"] for l in two]),"by_level":[mean([l["by_level"][b] for l in two]) for b in range(9)],"pictures":s,"rate":two[-1]["rate"],"pictures_per_second":round(s/60/sum(l["minutes"] for l in two),1)})
    open(f"{base}log-{n}-{size}.jsonl","w").write("".join(json.dumps(l)+"\n" for l in out)); print(n,len(out),sum(l["pictures"] for l in out),round(sum(l["minutes"] for l in lines),1), {k:sum(json.loads(open(f"/tmp/w/{p}/log.jsonl").read().splitlines()[-1])["seen"][k] for p in parts) for k in ("shapes","things")})
