# Everything is built from here; ./do is the friendly face.
#
#   make MODE=release|debug|asan|tsan|hostile [CC=gcc|clang] [all|sluice|tests|lib|fuzz]
#
# Sources are found by wildcard: a new file needs no line here.  The suffix of a file in
# src/kernel or src/model selects its instruction set (_avx2, _avx512, _neon, _i8mm).
# FOLDERS="base text" builds only these folders of src/ (for working on one room).

MODE    ?= release
CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
ARCH    := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
VERSION := $(shell cat VERSION)
O       := build/$(MODE)$(if $(filter-out gcc,$(notdir $(CC))),-$(notdir $(CC)))

ALL_FOLDERS := base net kernel text grammar model engine api store gateway jobs obs server cli
FOLDERS     ?= $(ALL_FOLDERS)
LIB_FOLDERS := base kernel text grammar model engine

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
        -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wno-format-nonliteral -Wno-missing-field-initializers \
        $(if $(findstring clang,$(CC)),,-Wno-format-truncation -Wno-maybe-uninitialized)
# (gcc 12 guesses wrong about both: texts are cut on purpose, and values set through a pointer are
# seen as unset at some levels.  The sanitizers and clang look at these.)
CPPFLAGS += -Isrc -Iinclude -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"'
# Where the package node-llhttp puts the parser that a test of net/ compares ours with.
CPPFLAGS += $(if $(wildcard /usr/share/include/llhttp),-idirafter /usr/share/include/llhttp)
CFLAGS_ALL := -std=gnu17 -ffp-contract=off -fno-strict-aliasing -fvisibility=hidden -fPIC \
        -pthread -g -MMD -MP $(WARN)

CFLAGS_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -DRELEASE=1
CFLAGS_debug   := -O1 -DSLUICE_DEBUG=1
CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DSLUICE_DEBUG=1
CFLAGS_tsan    := -O1 -fsanitize=thread -DSLUICE_DEBUG=1
# The build that makes rare things happen always: tiny pages, one-byte reads, queues of one.
CFLAGS_hostile := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -DSLUICE_DEBUG=1 -DSLUICE_HOSTILE=1
# Builds for tests count what is allocated where nothing may be (base/alloc_guard.h).
ifneq ($(MODE),release)
CPPFLAGS += -DSLUICE_ALLOC_GUARD=1
GUARD := $(foreach f,malloc calloc realloc reallocarray aligned_alloc posix_memalign strdup strndup,-Wl,--wrap=$(f))
endif
LDFLAGS_release := -Wl,-z,relro,-z,now -Wl,--gc-sections
LDFLAGS_debug   := $(GUARD)
LDFLAGS_asan    := -fsanitize=address,undefined $(GUARD)
LDFLAGS_tsan    := -fsanitize=thread $(GUARD)
LDFLAGS_hostile := -fsanitize=address,undefined $(GUARD)

ISA_avx2   := -mavx2 -mfma -mf16c -mbmi -mbmi2
ISA_avxvnni := $(ISA_avx2) -mavxvnni
ISA_avx512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c -mbmi -mbmi2
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16
# ARM: a file may contain no instruction that its level does not ask the processor for.
ISA_neon   := -march=armv8.2-a+dotprod
ISA_i8mm   := -march=armv8.2-a+dotprod+i8mm

LIBS := -luv -lssl -lcrypto -lyaml -lsqlite3 -lpcre2-8 -lutf8proc -ledit -lz -ldl -lm
LIB_LIBS := -lpcre2-8 -lutf8proc -lm

SRC   := $(foreach f,$(FOLDERS),$(wildcard src/$(f)/*.c))
ifeq ($(ARCH),x86_64)
SRC   := $(filter-out %_neon.c %_i8mm.c,$(SRC))
else
SRC   := $(filter-out %_avx2.c %_avxvnni.c %_avx512.c %_avx512bf16.c,$(SRC))
endif
TESTS := $(filter %_test.c,$(SRC)) src/base/test_main.c
MAIN  := src/cli/main.c
CODE  := $(filter-out %_test.c src/base/test_main.c $(MAIN),$(SRC))
LIBCODE := $(foreach f,$(LIB_FOLDERS),$(filter src/$(f)/%,$(CODE)))

obj = $(patsubst %.c,$(O)/%.o,$(1))
# Bytes that travel inside the program: assembler files include them.
DEMO := $(if $(wildcard models/demo.gguf),$(O)/src/demo_blob.o) $(O)/src/page_blob.o
FUZZ := $(patsubst fuzz/%.c,%,$(wildcard fuzz/fuzz_*.c))

.PHONY: all sluice tests lib fuzz clean install
all: sluice tests lib

sluice: $(O)/sluice
ifeq ($(O),build/release)
	@ln -sfn release/sluice build/sluice
endif
tests: $(O)/sluice-tests
lib: $(O)/libsluice.a $(O)/libsluice.so

isa = $(if $(filter %_avx2.c,$<),$(ISA_avx2))$(if $(filter %_avxvnni.c,$<),$(ISA_avxvnni))$(if $(filter %_avx512.c,$<),$(ISA_avx512))$(if $(filter %_avx512bf16.c,$<),$(ISA_avx512bf16))$(if $(filter %_neon.c,$<),$(ISA_neon))$(if $(filter %_i8mm.c,$<),$(ISA_i8mm))
# Kernels are optimised in every mode: their tests would take minutes otherwise.
hot = $(if $(filter src/kernel/%,$<),-O3)

$(O)/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(CFLAGS_$(MODE)) $(hot) $(isa) $(CFLAGS) -c $< -o $@

blob = printf '.section .rodata\n.global %s\n.global %s_end\n.balign 64\n%s:\n.incbin "%s"\n%s_end:\n.byte 0\n.section .note.GNU-stack,"",%%progbits\n' $(2) $(2) $(2) $(1) $(2)
$(O)/src/demo_blob.o: models/demo.gguf Makefile
	@mkdir -p $(@D)
	@$(call blob,$<,sluice_demo_gguf) > $(@:.o=.s)
	$(CC) -c $(@:.o=.s) -o $@
$(O)/src/page_blob.o: web/index.html Makefile
	@mkdir -p $(@D)
	@$(call blob,$<,sluice_page_html) > $(@:.o=.s)
	$(CC) -c $(@:.o=.s) -o $@

$(O)/sluice: $(call obj,$(CODE) $(MAIN)) $(DEMO)
	$(CC) $(LDFLAGS_$(MODE)) -pthread $^ $(LIBS) -o $@

$(O)/sluice-tests: $(call obj,$(CODE) $(TESTS)) $(DEMO)
	$(CC) $(LDFLAGS_$(MODE)) -pthread $^ $(LIBS) -o $@

$(O)/libsluice.a: $(call obj,$(LIBCODE))
	@rm -f $@
	ar rcs $@ $^

SOVERSION := 0
COMMA     := ,
$(O)/libsluice.so: $(call obj,$(LIBCODE)) $(wildcard lib/sluice.map)
	$(CC) $(LDFLAGS_$(MODE)) -shared -pthread -Wl,-soname,libsluice.so.$(SOVERSION) \
	  $(addprefix -Wl$(COMMA)--version-script=,$(wildcard lib/sluice.map)) $(filter %.o,$^) $(LIB_LIBS) -o $@
	@ln -sf libsluice.so $(O)/libsluice.so.$(SOVERSION)

# Fuzz targets: with clang as libFuzzer programs (build/fuzz/NAME), and in every mode as plain
# programs that replay files (build/MODE/NAME-replay FILE...), which the tests run.
FUZZ_CODE := $(call obj,$(CODE))
$(O)/%-replay: $(O)/fuzz/%.o $(O)/fuzz/replay.o $(FUZZ_CODE)
	$(CC) $(LDFLAGS_$(MODE)) -pthread $^ $(LIBS) -o $@
replays: $(patsubst %,$(O)/%-replay,$(FUZZ))
.PHONY: replays
.SECONDARY:

FZ := build/fuzz
$(FZ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	clang $(CPPFLAGS) $(CFLAGS_ALL) -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -DSLUICE_DEBUG=1 $(hot) $(isa) -c $< -o $@
$(FZ)/fuzz_%: $(FZ)/fuzz/fuzz_%.o $(patsubst %.c,$(FZ)/%.o,$(CODE))
	clang -fsanitize=fuzzer,address,undefined -pthread $^ $(LIBS) -o $@
fuzz: $(patsubst %,$(FZ)/%,$(FUZZ))

PREFIX ?= /usr/local
DESTDIR ?=
install: $(O)/sluice $(O)/libsluice.a $(O)/libsluice.so
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(O)/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	install -m 644 $(O)/libsluice.a $(DESTDIR)$(PREFIX)/lib/libsluice.a
	install -m 755 $(O)/libsluice.so $(DESTDIR)$(PREFIX)/lib/libsluice.so.$(VERSION)
	ln -sf libsluice.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libsluice.so.$(SOVERSION)
	ln -sf libsluice.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libsluice.so
	install -m 644 include/sluice.h $(DESTDIR)$(PREFIX)/include/sluice.h
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@VERSION@|$(VERSION)|g' lib/sluice.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/sluice.pc
	[ ! -f docs/sluice.1 ] || install -m 644 docs/sluice.1 $(DESTDIR)$(PREFIX)/share/man/man1/sluice.1
	[ ! -f tools/completion.bash ] || install -m 644 tools/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sluice

clean:
	rm -rf build

-include $(wildcard $(O)/src/*/*.d $(O)/fuzz/*.d $(FZ)/src/*/*.d)
