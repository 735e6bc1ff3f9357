#!/bin/sh
# Builds graphiql.js and graphiql.css from src/, examples/ and the packages that package.json names.
set -eu
cd "$(dirname "$0")"
npm install --no-package-lock --no-audit --no-fund
npx esbuild src/main.jsx --bundle --minify --format=iife --target=es2020 --jsx=automatic \
  --define:process.env.NODE_ENV='"production"' --legal-comments=eof --loader:.woff2=dataurl --loader:.graphql=text \
  --outfile=graphiql.js
