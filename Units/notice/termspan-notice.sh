# shellcheck shell=sh
# Sourced by login shells: a user whose activity is recorded is told so at logon, where somebody can read it.

case $- in
    *i*)
        TERMSPAN_NOTICE="/run/termspan/notice/$(id -u)"
        if [ -d "$TERMSPAN_NOTICE" ]; then TERMSPAN_NOTICE="$TERMSPAN_NOTICE/text"; else TERMSPAN_NOTICE=/run/termspan/notice/default; fi
        if [ -t 1 ] && [ -s "$TERMSPAN_NOTICE" ]; then
            printf '\n'
            cat "$TERMSPAN_NOTICE"
            printf '\n'
        fi
        unset TERMSPAN_NOTICE
        ;;
esac
