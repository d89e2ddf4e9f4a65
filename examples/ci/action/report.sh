#!/usr/bin/env bash
# What the action does. It reads its settings from the environment, as action.yml sets
# them, and speaks to three endpoints of GITHUB_API_URL: the user of the token, the
# comments of the pull request, and the SARIF reports of the repository.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=  # 1 when the job fails
code=0   # of seawall validate
tests=0  # of seawall test
gone=    # 1 when the change deletes the policy
changed= # true or false; empty when it is not known
status=  # of the last answer of the API

# annotate KIND TEXT is a workflow command that shows a text.
annotate() {
	local text=${2//\%/%25}
	text=${text//$'\r'/%0D}
	echo "::$1::${text//$'\n'/%0A}"
}

# fail ends the job with an error, after everything was reported.
fail() {
	failed=1
	annotate error "$1"
}

# refuse ends the job at once.
refuse() {
	annotate error "$1" >&2
	exit 1
}

# show prints a file. Names of the change may be in it, which are no workflow commands.
show() {
	local word=seawall-$RANDOM$RANDOM$RANDOM
	[ -s "$1" ] || return 0
	echo "::stop-commands::$word"
	awk 1 "$1"
	echo "::$word::"
}

# quoted is a text in a comment, where it is no Markdown.
quoted() { printf "\`%s\`" "$(printf %s "$1" | tr -d '[:cntrl:]' | tr "\`" "'")"; }

# each COMMAND [FLAG...] runs seawall on the policy; with hosts, for each of them.
each() {
	local command=$1
	shift
	[ -z "$HOSTS" ] || set -- --hosts "$HOSTS" "$@"
	seawall "$command" "$POLICY" "$@"
}

# boolean NAME VALUE is true or false, in one way of writing it.
boolean() {
	case $2 in
	[Tt]rue | TRUE) echo true ;;
	[Ff]alse | FALSE) echo false ;;
	*) refuse "$1 is true or false, not \"$2\"." ;;
	esac
}

read_settings() {
	case $FAIL_ON in
	error | warning | hint | never) ;;
	*) refuse "fail-on is error, warning, hint or never, not \"$FAIL_ON\"." ;;
	esac
	COMMENT=$(boolean comment "$COMMENT")
	SARIF=$(boolean sarif "$SARIF")
	[ -n "$POLICY" ] || refuse "policy is empty. Name a file or a folder."
	# ./policies, policies/ and policies are one policy, with one comment.
	POLICY=$(printf '%s\n' "$POLICY" | sed -e 's|//*|/|g' -e ':again' -e 's|/\./|/|' -e 't again' -e 's|^\./||' -e 's|/\.$||' -e 's|\(.\)/$|\1|' -e 's|^$|.|')
	case $POLICY in -*) refuse "policy is a file or a folder, not \"$POLICY\"." ;; esac
	case $BASE in -*) refuse "base is a revision, not \"$BASE\"." ;; esac
}

# find_base sets BASE to what the change is compared with, if the user does not: where the
# pull request began, or what was there before the push. It is empty for nothing.
find_base() {
	if [ -n "$BASE" ]; then
		return
	elif [ -n "$BASE_REF" ]; then
		BASE=origin/$BASE_REF
		# The branch may have gone on since the merge that is checked out was made.
		git merge-base --is-ancestor "$BASE" HEAD 2>/dev/null || BASE=$(git merge-base "$BASE" HEAD 2>/dev/null || echo "$BASE")
	elif [ -n "$BEFORE" ] && git cat-file -e "$BEFORE^{commit}" 2>/dev/null; then
		BASE=$BEFORE
	fi
}

# is_gone reports whether the change deletes the policy.
is_gone() { [ ! -e "$POLICY" ] && [ -n "$BASE" ] && [ -n "$(git ls-tree "$BASE" -- "$POLICY" 2>/dev/null)" ]; }

# Mistakes and findings, as annotations and as SARIF.
check_policy() {
	if [ -n "$HOSTS" ]; then
		each validate >"$work/validate" 2>&1 || code=$?
		show "$work/validate"
		[ "$SARIF" = false ] || annotate notice "With hosts, no SARIF is uploaded to code scanning. The log has the findings."
	else
		seawall validate "$POLICY" --format github || code=$?
		seawall validate "$POLICY" --format sarif >"$work/validate.sarif" || true
	fi
	case $code in
	0) ;;
	1) fail "The policy has mistakes." ;;
	*) fail "seawall validate ended with exit code $code." ;;
	esac
}

# has_warning [FLAG...] reports whether the policy has a warning. It has one unless the
# program says that there is none.
has_warning() {
	local answer=0
	seawall validate "$POLICY" --json "$@" >"$work/findings" 2>/dev/null || return 0
	jq --exit-status 'any(.[]; .severity == "warning")' "$work/findings" >/dev/null || answer=$?
	[ "$answer" != 1 ]
}

# has_findings reports whether the policy has findings that the user wants to fail on.
has_findings() {
	local vars
	case $FAIL_ON in
	error | never) return 1 ;;
	esac
	! each validate --strict >/dev/null 2>&1 || return 1
	[ "$FAIL_ON" = warning ] || return 0
	if [ -z "$HOSTS" ]; then
		has_warning
		return
	fi
	for vars in "$HOSTS"/*.vars.hcl "$HOSTS"/*.vars.json; do
		if [ -f "$vars" ] && has_warning --var-file "$vars"; then return 0; fi
	done
	return 1
}

# Its tests, and its compiled files.
check_tests() {
	each test >"$work/tests" 2>&1 || tests=$?
	show "$work/tests"
	[ "$tests" = 0 ] || fail "Tests of the policy fail."
	[ -n "$HOSTS" ] || seawall test "$POLICY" --format sarif >"$work/test.sarif" || true
	[ -z "$COMPILED" ] || each compile --out-dir "$COMPILED" --check || fail "The files in $COMPILED are out of date."
}

# compare writes what the change means.
compare() {
	local code=0
	each diff --git "$BASE" --format markdown >"$work/diff" 2>"$work/notes" || code=$?
	show "$work/notes"
	case $code in
	0) changed=false ;;
	2) changed=true ;;
	1) ;; # some of several hosts may be compared
	*) : >"$work/diff" ;;
	esac
	# A program that crashes may end with 2 as well, but it has written no report.
	[ -s "$work/diff" ] || changed=
	if [ -n "$changed" ]; then
		return
	elif git cat-file -e "$BASE^{commit}" 2>/dev/null; then
		fail "The change cannot be compared with $BASE."
	else
		fail "The change cannot be compared with $BASE, which this clone does not have. Give actions/checkout fetch-depth: 0."
	fi
}

# write_report writes what the comment says, and the summary of the job.
write_report() {
	# What the program notes has names of the change in it.
	[ ! -s "$work/notes" ] || tr -d '\000-\010\013-\037' <"$work/notes" | tr "\`" "'" | LC_ALL=C awk '/^Note: / && ++n <= 10 { printf "> `%s`\n\n", $0 }'
	case $code in
	0) ;;
	1) echo "**The policy in $(quoted "$POLICY") has mistakes.** The job lists them." ;;
	*) echo "**The policy in $(quoted "$POLICY") cannot be checked.** The job says why." ;;
	esac
	if [ "$code" = 0 ] && [ -z "$BASE" ]; then
		echo "There is nothing to compare the policy in $(quoted "$POLICY") with."
	elif [ "$code" = 0 ]; then
		[ -n "$changed" ] || printf '**The change cannot be compared with %s.** The job says why.\n\n' "$(quoted "$BASE")"
		cat "$work/diff"
	fi
	[ "$tests" = 0 ] || printf '\n**Tests of the policy fail.** The job says which.\n'
}

# api METHOD PATH [FILE] calls GitHub once, and writes its answer to a file. It returns 1
# when it is refused, and 2 when it is not known what became of it.
api() {
	local method=$1 path=$2
	shift 2
	[ $# = 0 ] || set -- --data-binary "@$1"
	: >"$work/answer"
	# The token is not an argument, which every user of the machine may read.
	status=$(printf 'Authorization: Bearer %s\n' "$TOKEN" | curl --silent --show-error --max-time 60 --output "$work/answer" --write-out '%{http_code}' \
		--request "$method" --header @- --header "Accept: application/vnd.github+json" "$@" "$GITHUB_API_URL/$path") || status=000
	case $status in
	2??) ;;
	000 | 429 | 5??) return 2 ;;
	*) return 1 ;;
	esac
}

# again is api, tried three times. It is for what may be done twice.
again() {
	local try result
	for try in 1 2 3; do
		result=0
		api "$@" || result=$?
		[ "$result" = 2 ] || break
		[ "$try" = 3 ] || sleep "$try"
	done
	return "$result"
}

# answer is the last answer of the API in short.
answer() {
	if [ "$status" = 000 ]; then
		echo "no answer"
	else
		echo "$status $(jq --raw-output '.message? // empty | tostring | .[:200]' "$work/answer" 2>/dev/null || true)"
	fi
}

# unwritten reports what the API did not take. The token of a pull request from a fork may
# only read, which nobody there can change.
unwritten() {
	case $status in
	403 | 404)
		if [ -n "$PULL_REQUEST" ] && [ "$HEAD_REPOSITORY" != "$GITHUB_REPOSITORY" ]; then
			annotate notice "$1: the token of a pull request from a fork may only read. The summary of the job has the report, its log the findings."
			return
		fi
		;;
	esac
	fail "$1 ($(answer)). $2"
}

# find_user sets user to the login of the token. It is empty for GITHUB_TOKEN and other
# tokens of an app, which may not ask, and whose comments are a bot's.
find_user() {
	user=
	if again GET user; then
		user=$(jq --raw-output '.login // empty' "$work/answer" 2>/dev/null) && [ -n "$user" ]
	else
		case $status in 401 | 403 | 404) ;; *) return 1 ;; esac
	fi
}

# find_comments lists the comments about this policy that the token's user wrote: everybody
# may write one that looks like it.
find_comments() {
	local page=1 length
	: >"$work/comments"
	while again GET "repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments?per_page=100&page=$page"; do
		jq --raw-output --arg mark "$mark" --arg user "$user" '.[] | select((.body // "") | startswith($mark))
			| select(if $user == "" then .user.type == "Bot" else .user.login == $user end) | .id' "$work/answer" >>"$work/comments" 2>/dev/null || return
		length=$(jq length "$work/answer") || return
		[ "$length" = 100 ] || return 0
		page=$((page + 1))
	done
	return 1
}

# write_comment updates the comment, or writes one if there is none yet. A call that may
# have written it is not repeated before it was looked for again.
write_comment() {
	local try id result
	for try in 1 2 3; do
		[ "$try" = 1 ] || sleep "$try"
		find_comments || return 3
		while read -r id; do
			result=0
			api PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" "$work/comment.json" || result=$?
			[ "$result" != 0 ] || return 0
			[ "$result" != 2 ] || continue 2
		done <"$work/comments" # one that may not be updated is another bot's
		result=0
		api POST "repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments" "$work/comment.json" || result=$?
		[ "$result" = 2 ] || return "$result"
	done
	return 2
}

# One comment, which every push updates. Its first line is how it is found again.
comment() {
	local user result=0
	mark="<!-- seawall: $(printf %s "$POLICY" | tr -d '<>[:cntrl:]') -->"
	{
		echo "$mark"
		head -c 65000 "$work/report"
	} | jq --raw-input --slurp '{body: .}' >"$work/comment.json"
	find_user || result=3
	[ "$result" != 0 ] || write_comment || result=$?
	case $result in
	0) ;;
	3) unwritten "The comments of the pull request cannot be read" "The token needs pull-requests: write. If GitHub is down, run the job again." ;;
	*) unwritten "The comment cannot be written" "The token needs pull-requests: write. If GitHub is down, run the job again." ;;
	esac
}

# Findings and failed tests, for code scanning: of each policy by themselves, as a report
# replaces the one before it in its category.
upload() {
	local report
	for report in validate test; do
		[ -s "$work/$report.sarif" ] || continue
		if ! jq --arg category "seawall-$report/$POLICY/" '.runs[].automationDetails = {id: $category}' "$work/$report.sarif" | gzip -c | base64 | tr -d '\n' >"$work/packed"; then
			fail "The findings cannot be uploaded: seawall $report did not write SARIF."
			continue
		fi
		jq --null-input --arg commit "$HEAD" --arg ref "$GITHUB_REF" --rawfile sarif "$work/packed" \
			'{commit_sha: $commit, ref: $ref, sarif: $sarif, tool_name: "Seawall"}' >"$work/upload.json"
		again POST "repos/$GITHUB_REPOSITORY/code-scanning/sarifs" "$work/upload.json" ||
			unwritten "The findings cannot be uploaded" "The token needs security-events: write, and the repository code scanning. If GitHub is down, run the job again."
	done
}

read_settings
find_base
: >"$work/diff"
if is_gone; then
	gone=1
else
	check_policy
	if [ "$code" = 0 ]; then
		check_tests
		! has_findings || fail "The policy has findings."
	fi
fi
if [ -z "$BASE" ]; then
	annotate notice "There is nothing to compare the policy with: this is no pull request, and the commit before the push is not here."
elif [ "$code" = 0 ]; then
	compare
fi
write_report >"$work/report"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$work/report" >>"$GITHUB_STEP_SUMMARY"
[ -z "${GITHUB_OUTPUT:-}" ] || echo "changed=$changed" >>"$GITHUB_OUTPUT"
if [ "$COMMENT" = true ] && [ -n "$PULL_REQUEST" ]; then comment; fi
if [ "$SARIF" = true ] && [ -z "$gone" ]; then upload; fi
[ -z "$failed" ] || [ "$FAIL_ON" = never ]
