# shellcheck shell=bash
# Sourced by environment/run and environment/test: a list of steps that announces
# its costs, runs, and ends with a table of elapsed times.

step_titles=() step_seconds=() step_megabytes=() step_functions=() step_kinds=() step_notes=() step_times=()
failed_checks=()

# step TITLE SECONDS MEGABYTES FUNCTION NOTE: adds a step. SECONDS and MEGABYTES are estimates; the note
# says beforehand what the step will do and is empty if the step only checks.
step() { add_step step "$@"; }

# check: the same for a step whose failure does not stop later steps.
check() { add_step check "$@"; }

add_step() {
    step_kinds+=("$1") step_titles+=("$2") step_seconds+=("$3") step_megabytes+=("$4") step_functions+=("$5") step_notes+=("$6")
}

# Hundredths of a second since boot: a monotonic clock.
clock() {
    local uptime
    read -r uptime _ </proc/uptime
    echo "${uptime/./}"
}

# duration HUNDREDTHS: "0.4 s", "34 s" or "8 min 12 s".
duration() {
    local seconds=$((10#$1 / 100))
    if ((seconds < 10)); then
        printf '%d.%d s' "$seconds" $((10#$1 % 100 / 10))
    elif ((seconds < 120)); then
        printf '%d s' "$seconds"
    else
        printf '%d min %d s' $((seconds / 60)) $((seconds % 60))
    fi
}

# estimate SECONDS: whole minutes from two minutes on.
estimate() {
    if (($1 < 120)); then printf '%d s' "$1"; else printf '%d min' $((($1 + 30) / 60)); fi
}

# on_these_cores SECONDS: scales SECONDS on two cores to this machine, up to eight cores (then the longest crate decides).
on_these_cores() {
    local cores
    cores=$(nproc)
    ((cores > 8)) && cores=8
    echo $(($1 * 2 / cores))
}

say() { printf '%s\n' "$*"; }

stop() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

announce_steps() {
    local i seconds=0 megabytes=0 size
    say "$1"
    for i in "${!step_titles[@]}"; do
        seconds=$((seconds + step_seconds[i])) megabytes=$((megabytes + step_megabytes[i]))
        [[ -z ${step_notes[i]} ]] && continue
        size=
        ((step_megabytes[i] > 0)) && size=", ${step_megabytes[i]} MB to download"
        printf '  %2d. %s: %s (about %s%s)\n' $((i + 1)) "${step_titles[i]}" "${step_notes[i]}" "$(estimate "${step_seconds[i]}")" "$size"
    done
    say "  together about $(estimate "$seconds") on $(nproc) cores, $megabytes MB to download"
}

# Steps run in this shell, so that they can set variables; checks run in a subshell, where a failure ends
# only the check. Neither may be called in a condition: bash would then ignore errors inside.
run_steps() {
    local i begun status
    trap 'exit 130' INT
    trap 'end_of_steps $?' EXIT
    for i in "${!step_titles[@]}"; do
        printf '\n[%d/%d] %s (about %s)\n' $((i + 1)) "${#step_titles[@]}" "${step_titles[i]}" "$(estimate "${step_seconds[i]}")"
        begun=$(clock)
        running_step=$i running_since=$begun
        if [[ ${step_kinds[i]} == check ]]; then
            set +e
            (
                set -e
                trap - EXIT
                "${step_functions[i]}"
            )
            status=$?
            set -e
            ((status == 130)) && exit 130
            if ((status != 0)); then
                failed_checks+=("${step_titles[i]}")
                say "      FAILED (exit status $status)"
            fi
        else
            "${step_functions[i]}"
        fi
        step_times[i]=$(($(clock) - begun))
        say "      took $(duration "${step_times[i]}")"
    done
    trap - INT EXIT
}

# Ends a run that did not reach its last step.
end_of_steps() {
    local status=$1
    trap - EXIT
    step_times[running_step]=$(($(clock) - running_since))
    print_table
    if ((status == 130)); then
        say "Interrupted in step $((running_step + 1)), ${step_titles[running_step]}. The same command resumes."
    else
        say "Stopped in step $((running_step + 1)), ${step_titles[running_step]} (exit status $status)."
    fi
    print_failed_checks
    exit "$status"
}

print_failed_checks() {
    local title
    for title in "${failed_checks[@]}"; do say "  FAILED: $title"; done
}

print_table() {
    local i total=0 actual
    printf '\n%-4s%-44s%12s%14s\n' '' Step estimate actual
    for i in "${!step_titles[@]}"; do
        actual='not reached'
        if [[ -n ${step_times[i]:-} ]]; then
            actual=$(duration "${step_times[i]}")
            total=$((total + step_times[i]))
        fi
        printf '%2d  %-44s%12s%14s\n' $((i + 1)) "${step_titles[i]}" "$(estimate "${step_seconds[i]}")" "$actual"
    done
    printf '%-4s%-44s%12s%14s\n' '' Together '' "$(duration "$total")"
}
