// The bar on top: who is logged in, logging in and out, and the field for a token.
import { useEffect, useState } from 'react';
import { ask } from './live.js';

const VIEWER = '{ viewer { user { email } organization { slug } role } }';
const LOG_IN = 'mutation LogIn($input: LoginInput!) { login(input: $input) { expiresAt } }';
const LOG_OUT = 'mutation LogOut { logout { ok } }';

function Name({ viewer }) {
  return (
    <span className="viewer">
      <b>{viewer.user.email}</b> in {viewer.organization.slug}, {viewer.role.toLowerCase()}
    </span>
  );
}

/** `onChange` is told the token that counts from now on; an empty one is the browser's session. */
export function Account({ token, session, onChange }) {
  const [viewer, setViewer] = useState(null);
  const [draft, setDraft] = useState(token);
  const [fault, setFault] = useState('');
  const [input, setInput] = useState({ email: '', password: '' });

  useEffect(() => {
    let isOver = false;
    setDraft(token);
    ask(token, VIEWER).then(
      ({ data, errors }) => {
        if (isOver) return;
        setViewer(data?.viewer ?? null);
        setFault(token && !data?.viewer ? (errors?.[0]?.message ?? 'The token is not valid.') : '');
      },
      () => isOver || setFault('The server does not answer.'),
    );
    return () => {
      isOver = true;
    };
  }, [token, session]);

  const use = event => {
    event.preventDefault();
    if (draft !== token) onChange(draft);
  };
  const logIn = async event => {
    event.preventDefault();
    try {
      // The answer's cookie is all that is needed: no script ever sees the session.
      const { errors } = await ask('', LOG_IN, { input });
      if (errors) return setFault(errors[0].message);
      setInput({ email: '', password: '' });
      onChange('');
    } catch {
      setFault('The server does not answer.');
    }
  };
  const logOut = async () => {
    if (!token) await ask('', LOG_OUT).catch(() => null);
    onChange('');
  };
  const given = name => ({ value: input[name], onChange: event => setInput({ ...input, [name]: event.target.value }) });

  return (
    <header className="account">
      <strong>KIOPS</strong>
      {viewer ? (
        <div className="session">
          <Name viewer={viewer} />
          <button type="button" id="log-out" onClick={logOut}>Log out</button>
        </div>
      ) : (
        <form className="session" onSubmit={logIn}>
          <input id="email" type="email" aria-label="E-mail address" placeholder="E-mail address" autoComplete="username" required {...given('email')} />
          <input id="password" type="password" aria-label="Password" placeholder="Password" autoComplete="current-password" required {...given('password')} />
          <button type="submit" id="log-in">Log in</button>
        </form>
      )}
      <form className="token" onSubmit={use}>
        <label htmlFor="token">{viewer && !token ? 'or a token' : viewer ? 'with the token' : 'or with a token'}</label>
        <input id="token" type="password" autoComplete="off" spellCheck="false" placeholder="Session or API token" value={draft} onChange={event => setDraft(event.target.value)} onBlur={use} />
        <button type="submit">Use</button>
      </form>
      {fault && <p role="alert">{fault}</p>}
    </header>
  );
}
