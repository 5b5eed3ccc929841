import t from "tap";
import { examineReplicas } from "../../src/store/redis/examine.js";

t.test("replicas that confirm no claim, or not every claim, are something an operator should know", async (t) => {
  const look = (connectedReplicas: number, waitReplicas: number) =>
    examineReplicas({ connectedReplicas }, { waitReplicas });
  t.equal(look(0, 0).state, "ok");
  t.equal(look(2, 2).state, "ok");
  t.equal(look(1, 2).state, "unsafe", "claims are refused");
  t.match(look(1, 0), { state: "warning", detail: /a failover may forget/ });
  t.match(look(2, 1), { state: "warning", detail: /2 connected, 1 asked .* to one that did not confirm may forget/ });
});
