# Read by fish at its start: a user whose activity is recorded is told so at logon, where somebody can read it.

if status is-login; and status is-interactive; and isatty stdout
    set --local notice /run/termspan/notice/(id -u)
    if test -d $notice
        set notice $notice/text
    else
        set notice /run/termspan/notice/default
    end
    if test -s $notice
        printf '\n'
        cat $notice
        printf '\n'
    end
end
