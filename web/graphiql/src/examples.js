// The examples of web/graphiql/examples. A file is a group: its name first, then the examples, with an empty line between. Each
// begins with a comment: a title, what is to be filled in, and the variables as JSON in one line.
import begin from '../examples/1-begin.graphql';
import register from '../examples/2-register.graphql';
import build from '../examples/3-build.graphql';
import deploy from '../examples/4-deploy.graphql';
import secure from '../examples/5-secure.graphql';
import administer from '../examples/6-administer.graphql';

const VARIABLES = '# Variables: ';

function exampleOf(text) {
  const lines = text.trim().split('\n');
  const title = lines[0].slice(2);
  const variables = lines.find(line => line.startsWith(VARIABLES))?.slice(VARIABLES.length);
  // What is said in several lines is one that the editor wraps as it has room.
  const said = lines.filter(line => line.startsWith('# ') && !line.startsWith(VARIABLES)).slice(1).join(' ').replaceAll(' # ', ' ');
  const operation = lines.filter(line => !line.startsWith('#'));
  const query = [`# ${title}`, ...(said ? ['#', said] : []), ...operation, ''].join('\n');
  const kind = operation[0].split(/\W/)[0];
  return { title, kind, query, variables: variables ? JSON.stringify(JSON.parse(variables), null, 2) : '' };
}

function groupOf(text) {
  const [name, ...examples] = text.trim().split(/\n\n+/);
  return { name: name.slice(2), examples: examples.map(exampleOf) };
}

export const GROUPS = [begin, register, build, deploy, secure, administer].map(groupOf);
