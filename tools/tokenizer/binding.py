"""Our tokenizer from Python, for comparing it with others: builds src/text into a shared library
and calls it through ctypes.  Mirrors struct vocab_def of src/text/tokenizer.h."""
import ctypes as C
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = ("text/bpe.c text/bpe_encode.c text/detok.c text/pretok.c text/pretok_rules.c "
           "text/special.c text/tok_bpe.c text/tok_spm.c text/tok_wordpiece.c text/tokenizer.c "
           "text/unicode.c text/unicode_data.c text/vocab.c base/str.c base/err.c base/rand.c").split()
ROLES = ("bos eos eot eom unknown seperator padding cls mask fim_pre fim_suf fim_mid fim_pad "
         "fim_rep fim_sep").split()
FLAGS = ("add_bos add_eos add_sep add_space_prefix remove_extra_whitespaces lowercase "
         "strip_accents").split()


class Str(C.Structure):
    _fields_ = [("p", C.c_char_p), ("n", C.c_size_t)]


class Def(C.Structure):
    _fields_ = [("model", Str), ("pre", Str), ("name", Str),
                ("tokens", C.POINTER(Str)), ("n_tokens", C.c_size_t),
                ("scores", C.POINTER(C.c_float)), ("kinds", C.POINTER(C.c_int32)),
                ("merges", C.POINTER(Str)), ("n_merges", C.c_size_t),
                ("role", C.c_int64 * len(ROLES))] + [(f, C.c_int8) for f in FLAGS]


class Err(C.Structure):
    _fields_ = [("code", C.c_int), ("text", C.c_char * 512)]


class Segment(C.Structure):
    _fields_ = [("text", Str), ("allow_special", C.c_bool)]


class Opts(C.Structure):
    _fields_ = [("bos", C.c_int), ("eos", C.c_int), ("is_continuation", C.c_bool)]


class List(C.Structure):
    _fields_ = [("ids", C.POINTER(C.c_int32)), ("n", C.c_size_t), ("cap", C.c_size_t),
                ("max", C.c_size_t), ("n_wanted", C.c_size_t), ("is_borrowed", C.c_bool)]


def build(flags=("-O2",)):
    out = os.path.join(ROOT, "build", "tokenizer-dev.so")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    subprocess.check_call(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", "-pthread",
                           "-I" + os.path.join(ROOT, "src"), *flags, "-o", out,
                           *[os.path.join(ROOT, "src", s) for s in SOURCES], "-lutf8proc", "-lm"])
    lib = C.CDLL(out)
    lib.tokenizer_token_bytes.restype = Str
    lib.pretok_find.restype = C.c_void_p
    lib.pretok_find.argtypes = [Str]
    lib.pretok_begin.argtypes = [C.POINTER(Iter), C.c_void_p, Str]
    lib.pretok_next.restype = C.c_bool
    lib.tokenizer_encode.argtypes = [C.c_void_p, C.POINTER(Segment), C.c_size_t, Opts,
                                     C.POINTER(List), C.POINTER(Err)]
    lib.tokenizer_create.argtypes = [C.POINTER(C.c_void_p), C.POINTER(Def), C.POINTER(Err)]
    lib.tokenizer_token_kind.argtypes = [C.c_void_p, C.c_int32]
    lib.tokenizer_token_bytes.argtypes = [C.c_void_p, C.c_int32]
    return lib


class Iter(C.Structure):
    _fields_ = [("opaque", C.c_uint64 * 32)]


def pieces(lib, pre, data):
    """The bytes of `data`, cut by the pre-tokenizer family."""
    family, it, piece = lib.pretok_find(to_str(pre)), Iter(), Str()
    text = C.create_string_buffer(data, len(data))
    base = C.addressof(text)
    lib.pretok_begin(C.byref(it), C.c_void_p(family), Str(C.cast(text, C.c_char_p), len(data)))
    out = []
    while lib.pretok_next(C.byref(it), C.byref(piece)):
        at = C.cast(C.pointer(piece), C.POINTER(C.c_void_p))[0] - base
        out.append(data[at:at + piece.n])
    return out


def to_str(value):
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return Str(data, len(data))


class Tokenizer:
    """vocab: dict with model, pre, tokens, and optionally scores, kinds, merges, the ROLES and FLAGS."""

    def __init__(self, lib, vocab):
        d = Def()
        lib.vocab_def_init(C.byref(d))
        d.model = to_str(vocab["model"])
        for key in ("pre", "name"):
            if vocab.get(key) is not None:
                setattr(d, key, to_str(vocab[key]))
        tokens = vocab["tokens"]
        d.n_tokens = len(tokens)
        d.tokens = (Str * len(tokens))(*map(to_str, tokens))
        if vocab.get("scores") is not None:
            d.scores = (C.c_float * len(tokens))(*vocab["scores"])
        if vocab.get("kinds") is not None:
            d.kinds = (C.c_int32 * len(tokens))(*vocab["kinds"])
        merges = vocab.get("merges") or []
        d.n_merges = len(merges)
        d.merges = (Str * len(merges))(*map(to_str, merges))
        for i, role in enumerate(ROLES):
            if vocab.get(role) is not None:
                d.role[i] = vocab[role]
        for flag in FLAGS:
            if vocab.get(flag) is not None:
                setattr(d, flag, int(vocab[flag]))
        self.lib, self.handle, err = lib, C.c_void_p(), Err()
        if lib.tokenizer_create(C.byref(self.handle), C.byref(d), C.byref(err)) != 0:
            raise ValueError(err.text.decode())

    def encode_segments(self, segments, bos=1, eos=1):
        """segments: (text, allow_special) pairs; bos, eos: 0 as the model, 1 no, 2 yes."""
        segs = (Segment * len(segments))(*[Segment(to_str(t), a) for t, a in segments])
        out, err = List(max=1 << 40), Err()
        rc = self.lib.tokenizer_encode(self.handle, segs, len(segments), Opts(bos, eos, False),
                                       C.byref(out), C.byref(err))
        ids = out.ids[:out.n] if out.n else []
        self.lib.token_list_deinit(C.byref(out))
        if rc != 0:
            raise ValueError(err.text.decode())
        return ids

    def encode(self, text, special=True, **opts):
        return self.encode_segments([(text, special)], **opts)

    def token_bytes(self, i):
        s = self.lib.tokenizer_token_bytes(self.handle, i)
        return C.string_at(C.cast(C.pointer(s), C.POINTER(C.c_void_p))[0], s.n) if s.n else b""


def vocab_from_gguf(path):
    import gguf
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields[key].contents() if key in fields else None
    t = "tokenizer.ggml."
    vocab = {"model": get(t + "model"), "pre": get(t + "pre"), "name": get("general.name"),
             "tokens": get(t + "tokens"), "scores": get(t + "scores"),
             "kinds": get(t + "token_type"), "merges": get(t + "merges")}
    for role in ROLES:
        vocab[role] = get(t + role + "_token_id")
    for flag, key in (("add_bos", "add_bos_token"), ("add_eos", "add_eos_token"),
                      ("add_space_prefix", "add_space_prefix"),
                      ("remove_extra_whitespaces", "remove_extra_whitespaces")):
        vocab[flag] = get(t + key)
    return vocab
