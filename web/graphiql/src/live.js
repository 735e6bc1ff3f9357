// How operations are sent: over HTTP, and subscriptions over a WebSocket, of which the newest events are shown.
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { getOperationAST } from 'graphql';
import { createClient } from 'graphql-ws';

/** So many events of a subscription are kept. */
const SHOWN = 100;
/** Milliseconds between two pictures of them: a log may have a thousand lines a second. */
const PAUSE = 200;
/** The server's code for a caller who may not go on. */
const FORBIDDEN = 4403;

/** What goes into the header and into connection_init; nothing where the browser's session counts. */
export function authorization(token) {
  const bare = token.trim().replace(/^bearer\s+/i, '');
  return bare ? { authorization: `Bearer ${bare}` } : {};
}

/** Sends one operation, and gives what came back. */
export async function ask(token, query, variables) {
  const headers = { 'content-type': 'application/json', accept: 'application/json', ...authorization(token) };
  const answer = await fetch('/graphql', { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  return answer.json();
}

/** GraphiQL's fetcher with this token, and how to be done with it. */
export function connect(token) {
  const socket = new URL('/graphql', window.location.href);
  socket.protocol = socket.protocol === 'https:' ? 'wss:' : 'ws:';
  const client = createClient({
    url: socket.toString(),
    lazy: true,
    retryAttempts: 10,
    shouldRetry: cut => typeof cut?.code === 'number' && cut.code !== FORBIDDEN,
    connectionParams: () => authorization(token),
  });
  const overHttp = createGraphiQLFetcher({
    url: '/graphql',
    enableIncrementalDelivery: false,
    headers: { accept: 'application/graphql-response+json', ...authorization(token) },
  });
  const fetcher = (params, options) => {
    const operation = options?.documentAST && getOperationAST(options.documentAST, params.operationName);
    return operation?.operation === 'subscription' ? live(client, params, operation) : overHttp(params, options);
  };
  return { fetcher, dispose: () => client.dispose() };
}

/** Says how many events there were, and shows the newest, the last one first. */
function live(client, params, operation) {
  // Where lines have cursors, a connection that is lost goes on after the last line and does not begin again.
  const resumes = operation.variableDefinitions?.some(({ variable }) => variable.name.value === 'after');
  const payload = { ...params, variables: { ...params.variables } };
  const subscribe = observer => {
    const events = [];
    let count = 0;
    let timer = null;
    let isOver = false;
    const show = state => {
      if (isOver) return;
      clearTimeout(timer);
      timer = null;
      const kept = count > events.length ? `, the newest ${events.length} of which are shown` : '';
      const said = count === 0 ? 'no event yet' : `${count} event${count === 1 ? '' : 's'}${kept}`;
      observer.next({ live: `${said}; ${state}`, events });
    };
    show('waiting for the first');
    const unsubscribe = client.subscribe(payload, {
      next: ({ data, errors }) => {
        count += 1;
        events.unshift(errors ? { data, errors } : data);
        events.length = Math.min(events.length, SHOWN);
        const cursor = data && Object.values(data)[0]?.cursor;
        if (resumes && cursor) payload.variables.after = cursor;
        timer ??= setTimeout(() => show('more may come'), PAUSE);
      },
      error: fault => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        observer.error(fault?.code ? new Error(`The connection was closed: ${fault.code} ${fault.reason}`) : fault);
      },
      complete: () => {
        if (isOver) return;
        show('that was all');
        isOver = true;
        observer.complete();
      },
    });
    return {
      unsubscribe: () => {
        show('stopped');
        isOver = true;
        unsubscribe();
      },
    };
  };
  return { subscribe };
}
