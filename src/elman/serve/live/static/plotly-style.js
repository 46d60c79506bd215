// Run before Plotly. Its bundle holds styles for maps and would put them into the page, where the policy refuses them
// with an error; none is drawn here. What it makes of them instead does nothing.

const create = document.createElement.bind(document);
document.createElement = (name, ...options) => create(name === "style" ? "template" : name, ...options);
