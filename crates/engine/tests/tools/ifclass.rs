//! `ifclass` beside FAI's, which is a shell function in this version. What later versions of FAI
//! added, boolean expressions, has its tests beside the parser.

use super::bench::*;

const ORACLE: &[&str] =
    &["/bin/bash", "-c", ". /usr/lib/fai/subroutines; ifclass \"$@\"", "ifclass"];
const ENV: &[(&str, &str)] = &[("classes", "DEFAULT LINUX\nDEBIAN  FAI-BASE web01 LAST")];

const fn case(name: &'static str, args: &'static str) -> Case {
    Case { name, args, env: ENV, before: &[], expect: Same }
}

const CASES: &[Case] = &[
    case("defined", "DEBIAN"),
    case("first", "DEFAULT"),
    case("last", "LAST"),
    case("not defined", "UBUNTU"),
    case("part of a name", "DEB"),
    case("end of a name", "BASE"),
    case("with a dash", "FAI-BASE"),
    case("lower case", "web01"),
    case("case counts", "debian"),
    case("pattern", "DEB.*"),
    case("pattern that matches a part", "EBI.N"),
    case("pattern with brackets", "web[0-9][0-9]"),
    case("-o first", "-o DEBIAN UBUNTU"),
    case("-o last", "-o UBUNTU LINUX"),
    case("-o none", "-o UBUNTU ROCKY"),
    case("-o nothing", "-o"),
    case("-a all", "-a DEBIAN LINUX LAST"),
    case("-a some", "-a DEBIAN UBUNTU"),
    case("-a nothing", "-a"),
    case("-a pattern", "-a DEB.* web.."),
    Case { env: &[("classes", "")], ..case("no classes", "DEBIAN") },
    Case { env: &[], ..case("classes unset", "DEBIAN") },
    Case {
        expect: Differs {
            because: "FAI 6.0.3 looks at the first word only; FAI 6.4 and later take an expression",
            status: 0,
            files: &[],
        },
        ..case("expression", "UBUNTU_||_DEBIAN_&&_!ROCKY")
    },
    Case {
        expect: Differs {
            because: "FAI says yes to several classes without -a or -o, whatever they are",
            status: 2,
            files: &[],
        },
        ..case("two classes", "UBUNTU ROCKY")
    },
];

#[test]
fn root_questions() {
    compare("ifclass", ORACLE, CASES);
}
