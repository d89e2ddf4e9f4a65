#!/usr/bin/env bash
# What the action does. It reads its settings from the environment, as action.yml sets
# them, and speaks to two endpoints of GITHUB_API_URL: the comments of the pull request,
# and the SARIF reports of the repository.
set -euo pipefail

case $FAIL_ON in
error | warning | hint | never) ;;
*)
	echo "fail-on is error, warning, hint or never, not \"$FAIL_ON\"." >&2
	exit 1
	;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
hosts=()
[ -z "$HOSTS" ] || hosts=(--hosts "$HOSTS")
failed=

# fail ends the job with an error, after everything was reported.
fail() {
	failed=1
	echo "::error::$1"
}

# api METHOD PATH [FILE] calls GitHub, and prints its answer.
api() {
	local body=()
	[ $# -lt 3 ] || body=(--data-binary "@$3")
	curl --fail-with-body --silent --show-error --max-time 60 --retry 2 --request "$1" "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/$2" \
		--header "Authorization: Bearer $TOKEN" --header "Accept: application/vnd.github+json" "${body[@]}"
}

# Mistakes and findings, as annotations and as SARIF.
code=0
if [ -n "$HOSTS" ]; then
	seawall validate "$POLICY" "${hosts[@]}" || code=$?
else
	seawall validate "$POLICY" --format github || code=$?
	seawall validate "$POLICY" --format sarif >"$work/validate.sarif" || true
fi
[ "$code" = 0 ] || fail "The policy has mistakes."

# Its tests.
tests=0
if [ "$code" = 0 ]; then
	seawall test "$POLICY" "${hosts[@]}" >"$work/tests" 2>&1 || tests=$?
	cat "$work/tests"
	[ "$tests" = 0 ] || fail "Tests of the policy fail."
	if [ -z "$HOSTS" ]; then
		seawall test "$POLICY" --format sarif >"$work/test.sarif" || true
	fi
	if [ -n "$COMPILED" ]; then
		seawall compile "$POLICY" "${hosts[@]}" --out-dir "$COMPILED" --check || fail "The files in $COMPILED are out of date."
	fi
fi

# Findings that the user wants to fail on.
count() { cat "$work"/*.sarif 2>/dev/null | jq --slurp --arg level "$1" '[.[].runs[].results[] | select((.level // "warning") == $level)] | length'; }
case $FAIL_ON in
warning) [ "$(count warning)" = 0 ] || fail "The policy has findings." ;;
hint) [ "$(($(count warning) + $(count note)))" = 0 ] || fail "The policy has findings." ;;
esac

# What the change means.
changed=0
if [ "$code" = 0 ]; then
	seawall diff --git "$BASE" "$POLICY" "${hosts[@]}" --format markdown >"$work/diff.md" || changed=$?
	[ "$changed" != 1 ] || fail "The change cannot be compared with $BASE."
fi
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || [ ! -s "$work/diff.md" ] || cat "$work/diff.md" >>"$GITHUB_STEP_SUMMARY"
[ -z "${GITHUB_OUTPUT:-}" ] || echo "changed=$([ "$changed" = 2 ] && echo true || echo false)" >>"$GITHUB_OUTPUT"

# One comment, which every push updates. Its first line is how it is found again.
if [ "$COMMENT" = true ] && [ -n "$PULL_REQUEST" ]; then
	mark="<!-- seawall: $POLICY -->"
	{
		echo "$mark"
		if [ "$code" != 0 ]; then
			echo "**The policy in \`$POLICY\` has mistakes.** The job lists them."
		else
			cat "$work/diff.md"
			[ "$tests" = 0 ] || printf '\n**Tests of the policy fail.** The job says which.\n'
		fi
	} | head -c 65000 | jq --raw-input --slurp '{body: .}' >"$work/comment.json"
	page=1 id=
	while [ -z "$id" ]; do
		api GET "issues/$PULL_REQUEST/comments?per_page=100&page=$page" >"$work/comments.json"
		id=$(jq --arg mark "$mark" 'map(select(.body | startswith($mark))) | (.[0].id // empty)' "$work/comments.json")
		[ "$(jq length "$work/comments.json")" = 100 ] || break
		page=$((page + 1))
	done
	if [ -n "$id" ]; then
		api PATCH "issues/comments/$id" "$work/comment.json" >/dev/null || fail "The comment cannot be updated."
	else
		api POST "issues/$PULL_REQUEST/comments" "$work/comment.json" >/dev/null || fail "The comment cannot be written: the token needs pull-requests: write."
	fi
fi

# Findings and failed tests, for code scanning.
if [ "$SARIF" = true ] && ls "$work"/*.sarif >/dev/null 2>&1; then
	for report in "$work"/*.sarif; do
		[ -s "$report" ] || continue
		category=seawall-$(basename "$report" .sarif)
		jq --arg category "$category" '.runs[].automationDetails = {id: ($category + "/")}' "$report" | gzip --stdout | base64 --wrap 0 >"$work/report"
		ref=$GITHUB_REF
		jq --null-input --arg commit "$HEAD" --arg ref "$ref" --rawfile sarif "$work/report" \
			'{commit_sha: $commit, ref: $ref, sarif: $sarif, tool_name: "Seawall"}' >"$work/upload.json"
		api POST code-scanning/sarifs "$work/upload.json" >/dev/null || fail "The findings cannot be uploaded: the token needs security-events: write."
	done
fi

[ -z "$failed" ] || [ "$FAIL_ON" = never ]
