from dataclasses import dataclass
def read_cookies(t): return dict(p.split("=",1) for p in t.split("; ") if "=" in p)
def merge(request, script, kept, only):
    c = {**read_cookies(script), **read_cookies(request)}
    for k,v in kept.items():
        if v is None: c.pop(k,None)
        else: c[k]=v
    return "; ".join(f"{k}={v}" for k,v in c.items())
def read_set_cookie(raw): raise ValueError
