cd /work/main
export LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4 OMP_NUM_THREADS=1
exec .venv/bin/python -W ignore /tmp/w/train3.py --source /tmp/w/legL --out /tmp/w/legM --size 64 --text data/weights/text --minutes ${1:-35} --rate 5e-4 --shares shapes=0.45,things=0.15,zoo=0.4 --world 2 --nshapes 310000 --cache /tmp/w/enc --cool 0.6 --seed 14 > /tmp/w/legM.log 2>&1
