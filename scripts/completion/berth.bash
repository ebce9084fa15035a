# SPDX-License-Identifier: Apache-2.0
# Completion of `berth` for bash: commands and options out of its own help, names out of the engine.
# Source it, or install it as /usr/share/bash-completion/completions/berth.

# The first word of each indented line of the help that names a command.
_berth_commands() {
  command berth "$@" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  *[A-Z].*/\1/p'
}

_berth_options() {
  command berth "$@" --help 2>/dev/null | grep -oE -- '(^|[ ,])--?[a-zA-Z][a-zA-Z0-9-]*' | tr -d ' ,'
}

_berth_names() {
  case "$1" in
    images) command berth images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null | grep -v '<none>' ;;
    running) command berth ps --format '{{.Names}}' 2>/dev/null ;;
    stopped) command berth ps -a --filter status=exited --filter status=created --format '{{.Names}}' 2>/dev/null ;;
    all) command berth ps -a --format '{{.Names}}' 2>/dev/null ;;
    volumes) command berth volume ls -q 2>/dev/null ;;
    routes) command berth route ls -q 2>/dev/null ;;
  esac
}

_berth() {
  local current=${COMP_WORDS[COMP_CWORD]} words=() word
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || words+=("$word")
  done
  local command=${words[0]:-} verb=${words[0]:-} path=()
  case "$command" in
    container | image | network | route | system | volume)
      path=("$command")
      [[ -n ${words[1]:-} ]] && path+=("${words[1]}") && verb=${words[1]}
      if [[ ${#words[@]} -le 1 && $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_berth_commands "$command")" -- "$current")
        return
      fi
      ;;
    "")
      if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_berth_options)" -- "$current")
      else
        mapfile -t COMPREPLY < <(compgen -W "$(_berth_commands)" -- "$current")
      fi
      return
      ;;
    *) path=("$command") ;;
  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_berth_options "${path[@]}")" -- "$current")
    return
  fi
  local kind=
  case "$command $verb" in
    image\ * | *\ run | *\ create | *\ rmi | *\ tag | *\ history | *\ save) kind=images ;;
    volume\ *) kind=volumes ;;
    route\ ls | route\ list) return ;;
    route\ *) kind=routes ;;
    *\ start) kind=stopped ;;
    *\ stop | *\ kill | *\ exec | *\ attach | *\ pause | *\ top | *\ stats | *\ port) kind=running ;;
    *) kind=all ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$(_berth_names "$kind")" -- "$current")
}

complete -o default -F _berth berth
