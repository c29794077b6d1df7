# Completion of `sluice` for bash.
_sluice() {
  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "serve run pull bench inspect quantize convert key usage check config help" -- "$word"))
    return
  fi
  case "$command" in
    key) [ "$COMP_CWORD" = 2 ] && COMPREPLY=($(compgen -W "create list revoke" -- "$word")) ;;
    run) COMPREPLY=($(compgen -W "demo --system --max-tokens --temperature --top-p --top-k --min-p --repeat-penalty --seed --stop --raw --stats --draft --kv-cache-dir --threads --isa" -- "$word") $(compgen -f -X '!*.gguf' -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _sluice sluice
