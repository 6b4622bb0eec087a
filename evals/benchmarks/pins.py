"""The official prompts of each benchmark, known again by a hash of their content: nobody is scored on others unawares."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evals.errors import DataFormatError, UserError

# An id is known again by its first letters, which are unique within each benchmark.
_START = 6
_SHOWN = 10

_ARENA_HARD_V0_1 = """
328c14 b43c07 1f07cf 9f25ff 04ba0a 93c9b4 ed3077 90b299 f54e99 7bcf40 847e08 b26d8c 379a49 92abeb 3f85bf 51c444 e9a2e1 6b3132
46e737 691204 ed426d 9d7d8b 2089a2 fae4f7 9db47b 31615e 51139d 5c5cb7 face6a dbff04 60856d 7cbfd2 6a82ba f7c6dc 66de1a 32e124
a3dfab 20c9d9 65e723 91e8fc 4587e8 2a6d0b 70dccc a3977c 4a6087 e7e76d fd64e8 ec7f8d db60d2 f0c747 d6410b 3971e3 4c2a6d 68ab3f
f4c8b6 bc7502 2c53e7 bd49bd 984787 c63a6b a89e93 74c425 ab10af 33166d 2b9b64 6462f1 7ea271 5b2976 b253dc 26a291 3d3e00 0d1aea
ee9ae7 c30665 cd99a5 15f390 4daa77 ba51d6 639d4f be6f4e c542b6 1b7338 ccda5d f6bf04 946c6e 5aa989 0b70bc 548610 1ea6c1 5601c9
4ef42c 40b857 52b9f9 8630c9 0c7464 3801e8 fd86df dd6103 2c41e8 f881bf 4a0cf9 dc7f0e 01b515 fd6e78 7833a7 677893 bab125 946bb5
eea41c 1cf367 f2d84d b9a780 415899 fdfea3 7d8346 59fa5b d65ce5 66336a 2f51f0 c15bbb 3acd22 bc9b7e 188f07 fae0a2 3bcc4c 2ce595
4e5a75 7957dc ccebed e0ccb6 6225fb 92370a 0901d0 69a536 795604 dec498 fcbd40 b5987b 11c4fb 06991f 69bad8 e21a44 9ecd86 a34852
ce3fca 53f433 07c7df f8986f 3bd60e 3735ce 9b9b65 666658 9c5e7d 246497 f035c1 91a347 1f40a9 e2c837 4ccfba ab4e0c 8390e6 ab4a51
f152bc a87c73 e80139 75c234 b7e2e3 e04ec5 3d24b3 e9f5e0 c67189 cdc880 f9111d b2206e c1f1de 02b50e 0394b6 718178 1f5e8d 810482
3f8944 0f93cc 6e9234 4c960b 73e362 e63f97 9cab7f 3ff3ef bacdff 229365 3b2d36 1da6ae 34690d b91d93 03917c 806b0e 09e036 742071
cc977f 175145 23aecf 70d835 33cdce 854302 d38fc9 842459 93a551 67f53a fd3782 15ad9b 9c6e43 88e609 75b8fc 7ef923 e64ca0 f2d343
5d3696 dbe8eb 3bd1d7 a81215 f3b397 089cea f71306 5741eb 0bd2cb 65f00d a88b57 730f4b 96d2e8 4f8bbc 51b92f 61e3d1 a016cb ab9106
dd4786 b7e7a1 9cdaba 1de1a9 f51671 1044e6 e5dbb6 38506f 7a2bdc 9c7bcb 8b15b6 d1c34e 983120 eb4af5 0fa52d 6a00d2 07bfa5 252dad
95bb50 fdf5e9 53214b 02e11c 1cc390 6db538 3132bb eebd25 0df741 7cec8e beefc3 7cef87 c88cf9 4cd2d1 26d316 708512 91fe74 204003
da1d66 949c62 221fc2 cd40f4 24db76 49f5dd 448994 7df9c5 2bc4db 300666 6937bd a4a00d bc59fa 0a7d65 d7d1be 2c614d f388d1 bead87
fb3496 47e1fd 1b0157 d1ef27 625ae8 3c59e7 3102d7 2a35e3 d588d5 1e3cf1 77fd22 08d2f4 ae30b1 d5dd01 3bed08 14f36f 1d725b 4086b6
54ac97 e28da3 8bf2bb aa548b df95f4 0977f5 0122ab 10accd addaa7 25fece 434409 8159ca 1e75db 385cbe 20e4e9 815c08 1db228 406481
c190fc 3a8183 307662 9647f3 4f45d0 2f5d45 d7b32d 15ab90 9d668b b4b1c3 36ce05 1827a0 ef1fe5 c35cf8 d35117 a8219c 8bd1aa 41ae4a
ea26a5 a0cf89 e1e290 5715cb ff7fbd 7b6290 f5537f 3982cd ccf2df d8e75c 2f3b37 77cb2d da5611 9cb276 7e1605 573312 cf475b 4f6903
3f6cb8 4b0cf1 f1c852 ba33e4 805a15 28373e 2c6441 2e2222 f7965a 399c9b 595fc9 15d603 1cf362 79a288 505072 c5da09 c44f50 81283c
eac467 f51541 d8ac4f d9dd7b e82a46 d192a1 0e07d7 f7cb27 ffb302 45d130 bb072f 64b7ce 170563 d4f725 752135 dbc2b0 e53db2 b18307
a309b4 608e40 5bd74e 0dea89 09c4df 27e3cd df53b3 70e842 582164 037edf 761441 4bb68a 37a2cf e9902d 4d9f73 654068 24adab a96630
ddcdd2 1878e1 7bcdc1 f7be12 51f2aa c56138 6c125f 9a9cd2 4f313e e721d9 e9157e 625671 a6663c bd1d9d 1cef15 f77dde efb7fa 2a6a19
b0cf57 61eb14 7c96ae f4dcf9 4e514c ea6185 1bc737 479edf 5e70f0 76362f 89fde4 f2b8fb c1c0c8 09a13c 80654f 4e1ba5 2a005a 19ee33
7313df 21388f faa3e3 497220 7e8521 d433ac 19b608 121b8f 573a0e 62c7ca 57b28a e298dd bb7fe3 b73a76 44bd78 32fe1f 8358c0 3bfa0f
01f068 4519ac 71bb06 ac6ec3 6a111f de6e5b e948f9 8e6c72 f776a9 166a57 9845f9 01b836 990d35 587d30 9d0bd5 8fc630 19a33e e86055
c6f96c 9cd748 fbe1b0 4864b2 e9820e b62a3d d7bf9f 50aec8 90d715 311a7c bc5655 cb04ca 398e83 4ae5aa
"""
_ARENA_HARD_V2_0 = """
2edbb5 ec71c0 d5cdf2 dfc9be 666d2a f0c5c6 c1dcc4 ac0ad2 9d8a49 8411a7 62d77e 045a78 8c27a1 148d87 22ed32 0f9382 28b816 44cb95
aa4b64 7c6224 ba8314 43fa06 63497f 6b4cac d85d2a 8d06d0 c7513c f07bc8 707e6b 390c28 ea3f0b 07d8ea b9825c 083cbf e51d15 4bf132
e205dd 5e2a85 4d6529 3932b6 dcac33 753af6 7b2368 9d2267 0f6113 c5c690 1a437e cd58c7 246e22 a75053 5882af 17b648 b3bb3a 9c29b9
a6b610 4db9cb 2ed31a 160e7f 0775b8 17352f 40303f c1e320 b148d3 a760ab d77657 b9ebb6 0ae2b0 c8d289 5722cc 368b15 852d96 d307d8
3a2d03 cab260 a10d39 2af71f 36e1c6 03ac13 ad01e0 5d2943 6c9252 63ce43 d89e94 27e82a 4ce1bd ac3ec9 a9541e fd5cbb 661b44 350b86
a50857 b0a632 7b5b56 b7f6a2 7b27be c9e52c 6627be 9bb42e 6eed72 340c2c c41838 768948 67ce32 307c55 bb430f c3623a bfdf93 d4e634
206b01 0253f0 5db031 ed0f04 c86aaa dc0e42 80aaeb 06add8 1d8f12 81be42 7219f3 669b82 ade243 2b84db 2da7e5 4027c1 87ee65 b61676
2ff142 c91150 dd5969 d59970 0919c1 e52ce7 4429f7 44a692 2565fc 93e1b9 92a211 510f53 bf3c13 3e3c1d efe7a5 c57522 a0680c 315bfe
2a8a05 c50680 b2f343 15da8e 6f6605 d63881 20ae28 b0120f d2e077 6fd588 823011 3929cf 5519d2 9d03cd 46095d 39d67f 87ceeb 6034f7
949685 c9b6aa 6c66da 1679a9 7f52ab 205fce b8b4c8 8299fa f3d8ba bbbef3 83fb5a 75bf84 530bfc 83f122 95c940 379add 6a02a9 6cab48
3f42d3 e457fa 7f68ec 32622f ba1dc6 e32ecb 2f1c0d c332e8 8240c2 d4bbda a4fb13 72781b 698763 20d4f5 d3131b d05230 632169 caffba
fef51b da1656 6d1489 d87295 be9b90 ffc070 114213 6dfd10 a0502a 589b58 93ac9d e0a048 bb45a7 c751d1 0275cb 9a02bc c9bc5c 16f328
b7825d 98eaff 974d99 2504f9 908d80 fda599 703efc cb5433 5abfa0 0e2cc1 e5e910 34a495 1e4b3c 100ec9 cc6b22 85d693 ee9367 e54eb4
2be36b 80a090 171a6c 5df63b d15d69 c90da7 a8f59a 190cb3 d42438 52ac0d 0e57fa fd3879 236ecf dde4bb 1871ac 5715cf e9ecf6 7949ab
6ed521 f88d6d 4f2be5 808e97 22cbfe eec578 c2c9d8 0c1518 08c4b9 38a4d2 0a3895 fa427f 522c6b 39e05c 34fd66 cc8aed 180de1 807ddb
35e864 15df2d ce3e9f 84af6b 7f542f 295f5a dd621a 27c994 d20571 23ea9f 4ba850 f432e5 9af1e7 c7c0af 4467c7 ddb533 74379a ad3b9f
263e29 426fec 1da15e 00a38e c0a4a8 ca93c6 de0795 5e2f33 90ae16 6ddcf3 146c27 295a67 5b20d3 c8f5fb 16e34f 962813 8ab68f 79fb96
fedac2 63341d ca6ac1 02272b 75e812 613c66 269024 d2ac8d a4268f e25d37 068560 af3210 16ff46 a2ff3a a66b2f 6930d5 6b9ca3 99f5f4
24b2c8 94e81d ff7af0 449e24 4c4458 5e3925 59e196 b49da0 d26752 ae67cb 193cc1 2b1e9e f10243 38fe52 03c108 6157be 96f8f0 4e993b
738da8 0b9571 188a39 641347 219615 ab465d aff70d 0c47bd 963621 c28ac9 cab746 2a3e58 6656b3 f71e03 71802b 9a8048 62d12a 113c43
7bb0b3 73c92e 5e6119 212f78 2b3ff6 d99465 4cd769 f3176f 335c92 60e5f7 9b3f5e abb6bd 0d5106 317ee8 1d8285 fa19d2 6c6955 10c99f
a001ea 1f7964 d7719f 3695b0 a066c5 76d204 447338 e1252a 537607 52c9ce aa07a5 2887ad 3b72cd 831e09 40252d 95cfbc 52b8db a70456
12c85a 05448d 2549c6 fbeb0b 8c557a f85200 1d2b55 781c1c 70eb8f 9fed36 bc343b d6cb49 f4c2ca bef3cf fa53f5 bbc563 33c9bd 4518b3
d861a3 51bb88 84a773 9105b3 7354fa e1a4d5 ff83ea 4a275a d0f208 11f424 73a2e2 5ff562 8cf57e 5b1813 047abd 69090a bb31bf 2a3370
b5f7ea fe1d42 af5a99 0001b5 8327ab 629106 95bba0 77526a 063b6f 2700a5 4a0a69 35397c 6c0f28 196c4c 8d5d06 590625 e0a39f b6fcd2
61ecce 4b9ba5 f024ff e1834c 9998c8 90f961 322a9e ea1cb5 e07d01 e8f27f bdd191 972994 137d0e a35adc 9bc25d 653eae c6d517 8a49c1
1046ac 27f7e4 51077f 7ff8ab 369827 85f57b b569d7 278aa6 bd8981 4b836c 41cd1c c36075 02d2ba 1700ef 05513e 4541a9 b31567 14f27b
15171b 9f8f6b 2ed954 fa0ffb 6506c3 3b778c 52562d 25e0e7 fc8a0f 8bf487 e3610f 7b720f 42e8c2 ac082b d657b1 0a055d 9f74a2 5ab052
af58d4 87984e 670832 2fe3f2 4ddafb ce158d b39abe 779988 844f48 d4e34b 880af8 6b7896 5db4ec 9b24ed ba03f3 814968 7711e0 6653ab
e5e49a 7c5c7e 718383 98cd87 8e5a22 4a687d 08ec88 d0acf6 0ff178 a69388 bd9b7a 91b5e2 4da982 c807a3 56e8d9 297fa9 9d8770 c10706
5b17cf 1402fb cb72e0 3f85a0 934879 e8ba8a ca0ddd 1b7592 2b950d 727795 76ab11 92fda9 df8cba 7b3eeb 4804ca fe98c7 225187 681649
e7df7d 7ffdb7 685b9c 199ee7 f86e8c 8fcada ee759c 072dbe d8fb3c cfe6a9 8dd3d3 ae7b33 2ec88f d79dc0 296dbe c82d64 fddba3 6ffb9d
70dc02 1fbdc9 489361 25bf4c 4706ec cf647d 91bced e46333 021305 eef4ac b8f5a7 69402a edd551 6b8153 0951d9 0bb6a8 523cd1 5eee4e
16771b 0bf94d 828b48 f2f82c 86e476 ee2a1f 340780 c93230 a7c133 1e64dc 4e1614 950ba8 ecf41c 14a72b d794e1 401c90 e9f4fa 4990cc
8f10d9 071391 599165 f2be32 ee0250 74f24d d5be63 216bae 5aa906 62d430 d14e8c fbee6c 97c047 605d67 51b620 1019d3 fb7b37 40097e
4db7be 855187 11a638 a0a6bb 8ba2e5 c2f4c6 d4d650 61dcf4 d61f68 f272aa 0b45f3 63db9f c40d7e 0cb8f9 435c49 689564 a4c992 6325cd
b61fea 3ee8a3 ccd3c6 10109f f8f128 f5d10c 0f2f43 d0bb37 958d97 54616c 8a3b96 d83ec0 3fbe85 72f30d d4a340 96b1f6 a3e4ed 249a4c
921fd1 65d4b0 42e85c 484474 d3698c 7664f8 191470 94357b eeef12 24ff6a 98529f e4cac1 c3a641 9779eb 308336 b6afa9 73ebd0 9774b9
042351 a819f1 f54ce2 a7abb7 943445 9001bb b41b45 92a5f8 047bd6 aec019 7e0634 13a1f4 481061 dfc2bd 972bf3 e413a5 cfd815 91e91e
a4a763 972aff 11dee9 8b18b9 88b850 cf1837 fea9e3 079ba5 817d48 d10e31 f83b36 6d0f19 74b918 4c7d8a e4d04e 6852e2 e6d740 857915
b5cd2a ee6a69 68da45 a817b2 b0b89f 7279f9 beee91 6fdd29 d30913 f3ee6f b7d183 c70af1 319cb0 ef4862 a5ec48 fa60d0 86bfe0 1f1da1
a7e531 8aa9ba 98df0b 305418 be5bca 9c8823 c6ceed f52e75 492a33 c1bdfc 095f49 0913d8
"""


@dataclass(frozen=True)
class PromptSet:
    """A benchmark's prompts in their official order: the hash of their content, and the beginnings of their ids."""

    sha256: str
    starts: tuple[str, ...]


PROMPT_SETS: Mapping[str, PromptSet] = {
    "alpaca_eval2": PromptSet("b4564bc4f7b4bb1c50464dce7902db7b3adc0e66c1c218bdca36c58a4ffb1543", tuple(map(str, range(805)))),
    "arena_hard_v0.1": PromptSet("613c75bd35ad51717c0df444b87fbfe4a52a8317366587037fda04cc1057a2eb", tuple(_ARENA_HARD_V0_1.split())),
    "arena_hard_v2.0": PromptSet("8200a408bc6e24dd6260b6f9a20beed353717eeb5e6fed46f1b0a329028185d4", tuple(_ARENA_HARD_V2_0.split())),
    "mt_bench": PromptSet("ce8dad2de1c2a4651234fa385b9e7e0bbf2d3bc9a6ab00701380a06a2377809a", tuple(map(str, range(81, 161)))),
}


def prompt_set_sha256(prompts: Iterable[tuple[str, Sequence[str]]]) -> str:
    """The hash of prompts, each an id and the user's turns, in their order: of their JSON in UTF-8, without spaces."""
    listed = [[name, list(turns)] for name, turns in prompts]
    return hashlib.sha256(json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def check_prompts(benchmark: str, prompts: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Refuse prompts, each an id and the user's turns, that are not the benchmark's, in its order.

    Ids are AlpacaEval's positions from 0, Arena-Hard's uids, and MT-Bench's question ids. Raises UserError for no benchmark, and
    DataFormatError that says which prompts are missing, too many or twice, or whether their order or their texts differ.
    """
    if benchmark not in PROMPT_SETS:
        raise UserError(f"there are no pinned prompts of {benchmark!r}", cure=f"choose {', '.join(PROMPT_SETS)}")
    given = list(prompts)
    if prompt_set_sha256(given) != PROMPT_SETS[benchmark].sha256:
        what = f"these are not the prompts of {benchmark}: {_difference(PROMPT_SETS[benchmark], given)}"
        raise DataFormatError(what, benchmark, "fetch the official files with `daa eval fetch`, or place them anew")


def _difference(official: PromptSet, given: Sequence[tuple[str, Sequence[str]]]) -> str:
    """What tells the given prompts from the official ones."""
    by_start = {name[:_START]: (name, turns) for name, turns in given}
    known = set(official.starts)
    missing = [f"{start}…" if len(start) == _START else start for start in official.starts if start not in by_start]
    extra = [name for name, _ in given if name[:_START] not in known]
    twice = [name for name, count in Counter(name for name, _ in given).items() if count > 1]
    found = [_listed(names, word) for names, word in ((missing, "missing"), (extra, "not among them"), (twice, "given twice")) if names]
    if found:
        return f"of {len(official.starts)}, " + "; ".join(found)
    in_order = [by_start[start] for start in official.starts]
    return "their order differs" if prompt_set_sha256(in_order) == official.sha256 else "the ids are the same, and a text differs"


def _listed(names: Sequence[str], word: str) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {'is' if len(names) == 1 else 'are'} {word}: {', '.join(names[:_SHOWN])}{rest}"
