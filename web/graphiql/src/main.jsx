// GraphiQL with a login, examples for every job, and subscriptions that are shown live. Nothing of what is typed outlives the
// browser's tab: variables may hold passwords and tokens.
import { useEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import { Account } from './account.jsx';
import { connect } from './live.js';
import { EXAMPLES } from './panel.jsx';
import 'graphiql/graphiql.css';
import './page.css';

const STORED = 'kiops:token';
const WELCOME = `# Log in above, with e-mail address and password or with a token. Then pick an example on
# the left: it opens in a tab of its own, with a comment that says what is to be filled in.
#
# Ctrl-Enter runs what the cursor is in, Ctrl-Space completes, and the book on the left
# describes every type, field and argument.

query WhoAmI {
  viewer { user { email } organization { slug } role }
  server { version }
}
`;

function Page() {
  const [token, setToken] = useState(() => sessionStorage.getItem(STORED) ?? '');
  // Counts logins, after each of which the schema may be another one.
  const [session, setSession] = useState(0);
  const { fetcher, dispose } = useMemo(() => connect(token), [token, session]);
  useEffect(() => dispose, [dispose]);
  const query = new URLSearchParams(window.location.search).get('query') ?? undefined;

  const change = next => {
    sessionStorage.setItem(STORED, next);
    setToken(next);
    setSession(session + 1);
  };

  return (
    <div className="page">
      <Account token={token} session={session} onChange={change} />
      <div className="editor">
        <GraphiQL
          key={session}
          fetcher={fetcher}
          query={query}
          defaultQuery={WELCOME}
          defaultEditorToolsVisibility="variables"
          isHeadersEditorEnabled={false}
          plugins={[EXAMPLES]}
          visiblePlugin={EXAMPLES}
          storage={sessionStorage}
        />
      </div>
    </div>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
