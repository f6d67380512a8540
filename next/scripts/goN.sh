cd /work/main
export LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4 OMP_NUM_THREADS=1
exec .venv/bin/python -W ignore /tmp/w/train3.py --source /tmp/w/legM --out /tmp/w/legN --size 64 --text data/weights/text --minutes ${1:-84} --rate 1e-3 --shares shapes=0.45,things=0.15,zoo=0.4 --world 2 --nshapes 310000 --cache /tmp/w/enc --cool 0.5 --seed 15 > /tmp/w/legN.log 2>&1
