# shellcheck shell=bash
# Sourced by `colab` and `kaggle`, which set `service`, `install`, `gpu` and `usage`: reads their options and packs the job.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
hosted=$repository/environment/hosted
dry='' timeout=7200 results=$repository/results/$service images='' job=''

stop() {
    printf '%s: %s\n' "$service" "$*" >&2
    exit 1
}

# run COMMAND...: prints the command and runs it, unless this is a dry run.
run() {
    printf '+%s\n' "$(printf ' %q' "$@")"
    [[ -n $dry ]] || "$@"
}

# await PATTERN FAILURE COMMAND...: repeats the command until its output matches PATTERN; stops if it matches FAILURE.
await() {
    local pattern=$1 failure=$2 output='' end=$((SECONDS + timeout + 3600))
    shift 2
    printf '+%s   # repeated until it says %s\n' "$(printf ' %q' "$@")" "$pattern"
    [[ -z $dry ]] || return 0
    until output=$("$@") && [[ $output =~ $pattern ]]; do
        [[ -n $output && ! $output =~ $failure ]] || stop "waited for \"$pattern\", got \"$output\""
        ((SECONDS < end)) || stop "no \"$pattern\" an hour after the job's time was up, got \"$output\""
        sleep 10
    done
}

while (($# > 0)); do
    case $1 in
    --help | -h) printf '%s\n' "$usage" && exit ;;
    --dry-run) dry=yes ;;
    --gpu | --timeout | --results | --user)
        (($# >= 2)) || stop "$1 needs a value"
        declare "${1#--}=$2"
        shift
        ;;
    -*) stop "unknown option $1; see --help" ;;
    *.json) job=$1 ;;
    *) images=$1 ;;
    esac
    shift
done
[[ -d $images ]] || stop "give a folder of images, for example datasets/drawings (got \"$images\")"
[[ -z $job || -f $job ]] || stop "$job: no such file; give the path of a job"
[[ -n $dry ]] || type -P "$service" >/dev/null || stop "the command \`$service\` is missing; install it: $install"

PATH=$PATH:$repository/.venv/bin
type -P benchbook >/dev/null || stop "the command \`benchbook\` is missing: install the wheel, or run environment/run"

# One file with the packed job, the images and the job's description. It is not named as an archive because Kaggle
# unpacks archives and loses the permissions of the files in them.
mkdir -p "$results"
rm -f "$results/record.json"
bundle=$results/job.bin
(
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    benchbook bench --pack "$scratch/bench.tar.gz" >/dev/null
    members=(bench.tar.gz)
    if [[ -n $job ]]; then cp "$job" "$scratch/job.json" && members+=(job.json); fi
    tar --create --dereference --sort=name --transform='s,^\.\(/\|$\),data\1,' --file="$bundle" \
        -C "$scratch" "${members[@]}" -C "$(realpath "$images")" .
)
megabytes=$(($(stat -c %s "$bundle") / 1000000))
printf '%s: %d MB\n' "$bundle" "$megabytes"
