// A service in Express as it is made by default: some pages are guarded by the proxy
// before it, all others are public. It prints its port.
import express from 'express';

const guarded = (req, res) => res.type('text').send('guarded page');
const open = (req, res) => res.type('text').send('public page');
const app = express();
app.all('/admin', guarded);
app.use('/secret', guarded);
app.all('/pages/:name', (req, res) => (req.params.name === 'admin' ? guarded : open)(req, res));
app.post('/items/:id', guarded);
app.use(open);
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
