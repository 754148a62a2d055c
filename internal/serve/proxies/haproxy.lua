-- /etc/haproxy/fob.lua: asks fob whether a request may pass, with HAProxy's HTTP client.

core.register_action("fob-verify", { "http-req" }, function(txn, query)
    local sent = txn.http:req_get_headers()
    local headers = {
        ["x-forwarded-for"] = { txn.sf:src() },
        ["x-forwarded-uri"] = { txn.sf:pathq() },
        ["x-forwarded-method"] = { txn.sf:method() },
    }
    local forwarded = {
        "authorization",
        "x-api-key",
        -- For CORS preflights (preflight = true in a [[serve.rule]]):
        "origin", "access-control-request-method",
    }
    for _, name in ipairs(forwarded) do
        if sent[name] then
            headers[name] = {}
            for _, value in pairs(sent[name]) do
                table.insert(headers[name], value)
            end
        end
    end

    local answer = core.httpclient():get({
        url = "http://127.0.0.1:8089/verify?" .. query,
        headers = headers,
        timeout = 2000,
    })

    local function header(name)
        local values = answer.headers and answer.headers[name]
        return values and values[0] or ""
    end
    txn:set_var("txn.fob_status", answer.status or 0)
    txn:set_var("txn.fob_body", answer.body or "")
    txn:set_var("txn.fob_challenge", header("www-authenticate"))
    txn:set_var("txn.fob_retry", header("retry-after"))
    txn:set_var("txn.fob_key_id", header("x-fob-key-id"))
    txn:set_var("txn.fob_owner", header("x-fob-owner"))
    txn:set_var("txn.fob_env", header("x-fob-env"))
    txn:set_var("txn.fob_scopes", header("x-fob-scopes"))
    txn:set_var("txn.fob_metadata", header("x-fob-metadata"))
    if header("ratelimit") ~= "" then
        txn:set_var("txn.fob_limit", header("ratelimit"))
        txn:set_var("txn.fob_policy", header("ratelimit-policy"))
    end
end, 1)
