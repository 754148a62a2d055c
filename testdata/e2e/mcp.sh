#!/bin/bash
# A client of MCP for the conformance suite: curl speaks MCP, and fob all of OAuth.
set -u
url=${!#} version=$MCP_CONFORMANCE_PROTOCOL_VERSION scenario=${MCP_CONFORMANCE_SCENARIO#auth/} nonce=
umask 077 && dir=$(mktemp -d) && trap 'rm -r "$dir"' EXIT
context() { printf %s "$MCP_CONFORMANCE_CONTEXT" | "$NODE" -pe 'JSON.parse(fs.readFileSync(0))[process.argv[1]]' "$1"; }
meta='"_meta":{"io.modelcontextprotocol/protocolVersion":"'$version'","io.modelcontextprotocol/clientCapabilities":{}}'

login() {
	set -- --timeout 20s
	case $scenario in pre-registration | client-credentials-* | enterprise-* | wif-*) set -- "$@" --client-id "$(context client_id)" ;; esac
	case $scenario in pre-registration | client-credentials-basic | enterprise-*) context client_secret >"$dir/secret" && set -- "$@" --client-secret-file "$dir/secret" ;; esac
	case $scenario in
	client-credentials-*) set -- "$@" --grant client_credentials ;;&
	client-credentials-jwt) context private_key_pem >"$dir/key" && set -- "$@" --private-key-file "$dir/key" ;;
	wif-*) context valid_jwt >"$dir/jwt" && set -- "$@" --grant jwt-bearer --identity "file:$dir/jwt" ;;
	dpop*) set -- "$@" --dpop ;;
	enterprise-*)
		printf '{"access_token":"none","id_token":"%s"}' "$(context idp_id_token)" |
			fob login work --issuer "$(context idp_issuer)" --client-id "$(context idp_client_id)" --with-token || return
		set -- "$@" --via work ;;
	esac
	fob login api --resource "$url" --challenge "$dir/head" "$@"
}
header() { case $scenario in dpop*) fob token api --dpop POST ${nonce:+--dpop-nonce "$nonce"} "$url" ;; *) fob token api --header ;; esac }
call() { # METHOD PARAMS: three attempts at most, each with what the last refusal requires
	for _ in 1 2 3; do
		status=$(header 2>/dev/null | curl -s -D "$dir/head" -o /dev/null -w '%{http_code}' -H @- -H "MCP-Protocol-Version: $version" -H 'Content-Type: application/json' \
			-H 'Accept: application/json, text/event-stream' -d '{"jsonrpc":"2.0","id":1,"method":"'"$1"'","params":{'"$2$meta"'}}' "$url")
		nonce=$(sed -n 's/^dpop-nonce: *\([^\r]*\).*/\1/ip' "$dir/head")
		case $status:$nonce in
		2*) return ;;
		401:?*) ;;
		401:* | 403:*) fob token api --challenge "$dir/head" >/dev/null || login || return ;;
		*) return 1 ;;
		esac
	done
	return 1
}
call tools/list '' && call tools/call '"name":"test-tool","arguments":{},'
