// A certified OpenID provider with PKCE, rotation and reuse detection. What
// happens is printed as lines of JSON, so that the tests can look at the server's
// side of things: node server.mjs ACCESS_TOKEN_SECONDS
import http from 'node:http';
import Provider from 'oidc-provider';

const accessTokenSeconds = Number(process.argv[2] ?? 3600);
const say = (event) => console.log(JSON.stringify(event));

const native = {
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
};

const configuration = {
  clients: [
    { ...native, client_id: 'fob-e2e', token_endpoint_auth_method: 'none' },
    { ...native, client_id: 'fob-secret', client_secret: 'e2e +%: secret of sufficient length', token_endpoint_auth_method: 'client_secret_basic' },
  ],
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  features: {
    revocation: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
  },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: 'Ada Lovelace', email: 'ada@example.com' }),
  }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  cookies: { keys: ['e2e'] },
  ttl: { AccessToken: accessTokenSeconds, RefreshToken: 86400, Session: 3600, Interaction: 600, Grant: 86400, IdToken: 3600 },
};

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on('authorization.success', (ctx) => say({ event: 'authorized', method: ctx.oidc.params.code_challenge_method }));
  provider.on('grant.success', (ctx) => say({
    event: ctx.oidc.params.grant_type,
    tokens: [ctx.body.access_token, ctx.body.refresh_token, ctx.body.id_token].filter(Boolean),
  }));
  provider.on('grant.error', (ctx, error) => say({ event: 'refused', error: error.error, detail: error.error_detail }));
  provider.on('grant.revoked', () => say({ event: 'revoked' }));
  server.on('request', provider.callback());
  say({ event: 'ready', issuer });
});
