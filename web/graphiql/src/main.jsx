// GraphiQL with a field for the token, which goes into the Authorization header of each request and into
// connection_init of the WebSocket. The token is kept for the tab alone.
import { useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import 'graphiql/graphiql.css';
import './page.css';

const STORED = 'kiops:token';

function authorization(token) {
  const bare = token.trim().replace(/^bearer\s+/i, '');
  return bare ? { authorization: `Bearer ${bare}` } : {};
}

function fetcherFor(token) {
  const url = new URL('/graphql', window.location.href);
  const socket = new URL(url);
  socket.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return createGraphiQLFetcher({
    url: url.toString(),
    headers: { accept: 'application/graphql-response+json', ...authorization(token) },
    wsClient: createClient({
      url: socket.toString(),
      lazy: true,
      retryAttempts: 2,
      connectionParams: () => authorization(token),
    }),
  });
}

function Page() {
  const [token, setToken] = useState(() => sessionStorage.getItem(STORED) ?? '');
  const [draft, setDraft] = useState(token);
  const fetcher = useMemo(() => fetcherFor(token), [token]);
  const query = new URLSearchParams(window.location.search).get('query') ?? undefined;

  const use = event => {
    event.preventDefault();
    sessionStorage.setItem(STORED, draft);
    setToken(draft);
  };

  return (
    <div className="page">
      <form className="token" onSubmit={use}>
        <strong>KIOPS</strong>
        <label htmlFor="token">Token</label>
        <input
          id="token"
          type="password"
          autoComplete="off"
          spellCheck="false"
          placeholder="Session or API token; empty uses the browser's session"
          value={draft}
          onChange={event => setDraft(event.target.value)}
          onBlur={use}
        />
        <button type="submit">Use</button>
      </form>
      <div className="editor">
        <GraphiQL key={token} fetcher={fetcher} query={query} isHeadersEditorEnabled={false} />
      </div>
    </div>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
