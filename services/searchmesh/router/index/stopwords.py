"""Function words that lexical search leaves out, by language, case-folded.

Short lists on purpose: BM25 already weighs frequent words down, and what matters is that the longest postings are
not walked for every query. English is Lucene's list and the remains of contractions.
"""

from __future__ import annotations

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "english": """
            a an and are as at be but by for if in into is it no not of on or such that the their then there these
            they this to was will with s t""",
        "german": """
            aber als am an auch auf aus bei bin bis bist da dass dem den der des die dies diese dieser dieses doch du
            ein eine einem einen einer eines er es für hat hatte ich ihr im in ist ja kein keine mit nach nicht noch
            nur ob oder sein sich sie sind so und uns unter vom von vor war was wenn werden wie wir wird zu zum zur
            über""",
        "french": """
            à au aux avec c ce ces cette d dans de des du elle elles en est et été être eux il ils j je l la le les
            leur leurs lui m ma mais me mes n ne nos notre nous on ont ou où par pas pour qu que qui s sa se ses si
            son sont sur t te tu un une vos votre vous y""",
        "spanish": """
            a al como con cual de del desde donde e el ella ellas ellos en entre era es esa ese eso esta este esto
            fue ha han hasta la las le les lo los me mi muy más ni no nos o para pero por que qué se ser si sin sobre
            son su sus también te tu un una unas uno unos y ya yo""",
        "italian": """
            a ad ai al alla alle allo anche c che chi ci come con d da dal dalla dei del della delle dello di e ed era
            gli ha hanno i il in io l la le lei li lo loro lui ma me mi ne nei nel nella noi non o per più quale
            quella quello questa questo se si sia sono su sua sue sul sulla suo suoi ti tra tu un una uno vi voi è""",
        "portuguese": """
            a ao aos as com como da das de dela dele delas deles do dos e ela elas ele eles em entre era essa esse
            esta este eu foi há isso isto já lhe mais mas me meu minha na nas nem no nos nossa nosso não o os ou para
            pela pelo por qual quando que quem se sem ser seu seus sua suas são só também te tem um uma você à às é""",
        "dutch": """
            aan al als bij dan dat de der des deze die dit door een en er had heb hebben heeft het hij hoe hun ik in
            is je kan maar me men met mijn na naar niet nog nu of om omdat onder ons ook op over te ten tot uit van
            veel voor want waren was wat we wel werd wie wij wordt ze zei zich zij zijn zo zou""",
        "russian": """
            а без бы был была были было быть в вас во вот все всех вы где да для до его ее если есть еще же за и из
            или им их к как ко кто ли мне мы на над не него нет ни но о об он она они оно от по под при с со так такой
            там то того тоже только ты у уже чем что чтобы эта эти это этот я""",
        "swedish": """
            alla att av blev bli de dem den denna deras dess det detta dig din du där efter ej eller en er ett från
            för ha hade han hans har hon hur här i icke inte jag kan man med men mig min mot mycket ni nu när och om
            oss på sedan sig sin ska som så till under upp ut var vi vid är över""",
        "danish": """
            af alle at blev bliver da de dem den denne der deres det dette dig din dog du efter eller en end er et for
            fra ham han har havde hende hun hvad hvis hvor i ikke ind jeg jo kan man med men mig min mod ned nu når og
            også om op os over på sig sin skal som så til ud under var vi vil være været""",
        "norwegian": """
            av alle at ble bli da de dem den denne der deres det dette deg din du eller en enn er et etter for fra ha
            hadde han har hun hva hvis hvor i ikke inn jeg kan man med men meg min mot ned nå når og også om opp oss
            over på seg sin skal som så til ut under var vi vil være vært""",
        "finnish": """
            ei eivät en ette että ovat oli olla on he hän ja jos joka jotka kanssa koska kuin kun me mikä minä mutta
            myös ne niin nyt olen se sekä sen siinä sinä siis tai tämä te vaan vai vaikka""",
        "turkish": """
            acaba ama aslında az bazı belki biri birkaç biz bu çok çünkü da daha de defa diye en gibi hem hep hepsi her
            hiç için ile ise ki kim mı mu mü nasıl ne neden nerde nerede nereye niçin niye o sanki siz şu tüm ve veya
            ya yani""",
        "greek": """
            ο η το οι τα του τησ των τον την και κι ειναι είναι στο στη στην στον στα στισ στουσ με σε να για απο από
            που δεν θα αν μα ή ένα ένασ μια μία""",
        "arabic": """
            في من على إلى عن أن إن لا ما هذا هذه ذلك التي الذي و أو ثم كان كانت هو هي مع كل بعد قبل بين قد لم لن""",
        "hindi": """
            के का की को में है हैं से और पर यह वह ने भी कि एक इस था थी थे ही तो कर लिए नहीं या जो अपने""",
        "romanian": """
            a ai al ale am ar are au ca care ce cea cei cel cu că da de din dar după e ea ei el este eu fi fost i la
            le lor lui mai ne nu o pe pentru prin s sa sau se sunt să un una unei unui și în își""",
    }.items()
}
