// The panel from which an example is opened in a tab of its own. What the caller's schema does not have is not there.
import { useEffect, useMemo, useState } from 'react';
import { useEditorContext, useExecutionContext, useSchemaContext } from '@graphiql/react';
import { parse, validate } from 'graphql';
import { GROUPS } from './examples.js';

/** The groups with what the schema knows and the words ask for. */
function found(schema, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const says = example => wanted.every(word => example.query.toLowerCase().includes(word));
  const knows = example => validate(schema, parse(example.query)).length === 0;
  return GROUPS.map(({ name, examples }) => ({ name, examples: examples.filter(one => says(one) && knows(one)) })).filter(
    group => group.examples.length,
  );
}

function Icon() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round">
      <path d="M4 5h16M4 12h10M4 19h7" strokeLinecap="round" />
      <path d="M16 13.5v7l5.5-3.5z" />
    </svg>
  );
}

function Panel() {
  const { schema, isFetching, fetchError } = useSchemaContext();
  const { tabs, addTab, changeTab, queryEditor, variableEditor } = useEditorContext();
  const { stop } = useExecutionContext();
  const [words, setWords] = useState('');
  const groups = useMemo(() => (schema ? found(schema, words) : []), [schema, words]);

  // What is to be filled in must not be beyond the edge.
  useEffect(() => {
    for (const editor of [queryEditor, variableEditor]) editor?.setOption('lineWrapping', true);
  }, [queryEditor, variableEditor]);

  const open = ({ query, variables }) => {
    // What still comes belongs to the tab that asked for it.
    stop();
    const there = tabs.findIndex(tab => tab.query === query);
    if (there >= 0) return changeTab(there);
    addTab();
    // The editors are the new tab's only once it has been shown.
    setTimeout(() => {
      queryEditor.setValue(query);
      variableEditor.setValue(variables);
      queryEditor.focus();
    });
  };

  const missing = isFetching
    ? 'The schema is being read …'
    : fetchError || !schema
      ? 'The schema could not be read. Is the token right? Then read it again with the arrows below.'
      : 'No example has these words.';
  return (
    <section className="examples" aria-label="Examples">
      <h2>Examples</h2>
      <p>Each opens in a tab, with what is to be filled in. Ctrl-Enter runs it.</p>
      <input type="search" aria-label="Find an example" placeholder="Find an example" value={words} onChange={event => setWords(event.target.value)} />
      {groups.length === 0 && <p className="missing">{missing}</p>}
      {groups.map(group => (
        <div key={group.name}>
          <h3>{group.name}</h3>
          <ul>
            {group.examples.map(example => (
              <li key={example.title}>
                <button type="button" onClick={() => open(example)}>
                  <span>{example.title}</span>
                  <small className={example.kind}>{example.kind}</small>
                </button>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </section>
  );
}

export const EXAMPLES = { title: 'Examples', icon: Icon, content: Panel };
