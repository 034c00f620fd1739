// Run once, by the official image, when the data folder is empty: one user that writes, one that reads, one for demos.
// MONGO_INITDB_ROOT_USERNAME is the administrator, whom no process of ours knows.
const users = db.getSiblingDB("admin")
const own = process.env.MONGO_DB

function add(user, password, ...roles) {
  if (!password) throw new Error(`${user} has no password: set it in .env`)
  users.createUser({user, pwd: password, roles: roles.map(([role, name]) => ({role, db: name}))})
}

add("candlewick", process.env.MONGO_PASSWORD, ["readWrite", own], ["readWrite", `${own}_replay`])
add("reader", process.env.MONGO_READER_PASSWORD, ["read", own])
add("demo", process.env.MONGO_DEMO_PASSWORD, ["readWrite", "candlewick_demo"])
