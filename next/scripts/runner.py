"""Two workers over a list of jobs; a job done is not done again."""
import subprocess, threading, os, sys, time, queue
jobs=[l.strip() for l in open("/tmp/w/jobs.txt") if l.strip() and not l.startswith("#")]
done=set(open("/tmp/w/done.txt").read().splitlines()) if os.path.exists("/tmp/w/done.txt") else set()
q=queue.Queue(); [q.put(j) for j in jobs if j not in done]
env=dict(os.environ, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", LD_PRELOAD="/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4")
lock=threading.Lock()
def work():
    while True:
        try: j=q.get_nowait()
        except queue.Empty: return
        t=time.time(); r=subprocess.run(j,shell=True,cwd="/work/main",env=env,stdout=subprocess.PIPE,stderr=subprocess.STDOUT,text=True)
        with lock:
            open("/tmp/w/jobs.log","a").write(f"### {j} rc {r.returncode} {time.time()-t:.0f}s\n{r.stdout[-3000:]}\n")
            if r.returncode==0: open("/tmp/w/done.txt","a").write(j+"\n")
ts=[threading.Thread(target=work) for _ in range(int(sys.argv[1]))]; [t.start() for t in ts]; [t.join() for t in ts]
